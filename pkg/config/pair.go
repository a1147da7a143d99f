package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"

	"mcctl/pkg/pair"
)

// Pair is pair.toml: what both servers must agree on.
type Pair struct {
	// Name is the pair's name, also in certificates: 1 to 50 of a-z, 0-9, _ and -.
	Name    string              `toml:"pair"`
	Servers map[string]Endpoint `toml:"servers"`
	Arbiter ArbiterOf           `toml:"arbiter"`
	Timings Timings             `toml:"timings"`
	Policy  Policy              `toml:"policy"`
}

// Endpoint is where one server is reached, each as host:port.
type Endpoint struct {
	// Admin is the supervisor's address; the other supervisor, the arbiter's
	// operators and remote commands come there.
	Admin string `toml:"admin"`
	// Replication is PostgreSQL as the other server reaches it.
	Replication string `toml:"replication"`
	// Client is PostgreSQL as clients reach it.
	Client string `toml:"client"`
}

// ArbiterKind says who keeps the record.
type ArbiterKind string

const (
	// Witness: an mcctl process on a third host keeps the record.
	Witness ArbiterKind = "witness"
	// Etcd: the record is a key in an etcd cluster, 3.4 or newer.
	Etcd ArbiterKind = "etcd"
	// Command: the primary keeps the record; the site's arbitration and fencing
	// commands decide whether the standby takes over from a silent one.
	Command ArbiterKind = "command"
	// None: the primary keeps the record; a standby never takes over by itself.
	None ArbiterKind = "none"
)

// ArbiterOf is the arbiter as the servers see it.
type ArbiterOf struct {
	// Kind says who keeps the record of which server is primary.
	Kind ArbiterKind `toml:"kind"`
	// Address is host:port of a witness and empty otherwise.
	Address string `toml:"address"`
	Etcd    EtcdOf `toml:"etcd"`
	// FencingDelay, with "command": how much longer than the primary a standby waits
	// before it fences a silent one, so that one of two that have lost each other is
	// faster. It should be longer than fencing takes, and is at least heartbeat_timeout.
	FencingDelay Duration `toml:"fencing_delay"`
}

// Apart tells whether the record is kept by somebody beside the two servers, who can be
// lost while both live.
func (a *ArbiterOf) Apart() bool { return a.Kind == Witness || a.Kind == Etcd }

// Policy is what the supervisors may do by themselves.
type Policy struct {
	// Failover allows automatic switch and detach after a fault.
	Failover bool `toml:"failover"`
	// Rejoin lists what an old primary may do, in this order, when its history is
	// not contained in the new primary's. Empty: it waits for the operator.
	Rejoin []Rejoin `toml:"rejoin"`
	// RebuildCommand, when set, is the program, by its absolute path, with its arguments
	// that makes a new copy instead of pg_basebackup (docs/rebuild.md).
	RebuildCommand []string `toml:"rebuild_command"`
	// AttachMaxLag is how far a standby may be behind when it is to be attached.
	AttachMaxLag Bytes `toml:"attach_max_lag"`
	// DiskLow is the room on any of PostgreSQL's disks below which status warns;
	// DiskCritical that below which no switch goes to a standby, and a paired primary
	// switches away by itself, if the standby is not even low. Each is a share, a size, or both, of which the smaller counts.
	DiskLow      Share `toml:"disk_low"`
	DiskCritical Share `toml:"disk_critical"`
	// ManageSynchronizedStandbySlots keeps PostgreSQL's parameter
	// synchronized_standby_slots (17 and later) in step with the roles.
	ManageSynchronizedStandbySlots bool `toml:"manage_synchronized_standby_slots"`
	// LostWAL says what becomes of log that an old primary must discard before it comes
	// back: "save" keeps it if there is room, "require" discards nothing that could not be
	// kept, "report" only says what was in it (docs/lost.md).
	LostWAL LostWAL `toml:"lost_wal"`
	// LostWALMax is how much such log a server keeps in all; the oldest goes first.
	LostWALMax Bytes `toml:"lost_wal_max"`
	// LostReports is how many reports of it a server keeps.
	LostReports int `toml:"lost_reports"`
}

// LostWAL is what becomes of log that must be discarded.
type LostWAL string

const (
	// SaveLost keeps it where there is room, and goes on in any case.
	SaveLost LostWAL = "save"
	// RequireLost waits for an operator where it cannot be kept.
	RequireLost LostWAL = "require"
	// ReportLost keeps none of it.
	ReportLost LostWAL = "report"
)

// Rejoin is a way back into the pair for a server whose history has diverged.
type Rejoin string

const (
	// Rewind takes the diverging pages back with pg_rewind.
	Rewind Rejoin = "rewind"
	// Rebuild copies the whole primary again.
	Rebuild Rejoin = "rebuild"
)

func defaultPair() Pair {
	return Pair{
		Arbiter: ArbiterOf{Etcd: EtcdOf{Endpoints: []string{}, Prefix: defaultPrefix}, FencingDelay: ms(5000)},
		Timings: defaultTimings(),
		Policy: Policy{
			Failover:                       true,
			Rejoin:                         []Rejoin{Rewind, Rebuild},
			RebuildCommand:                 []string{},
			AttachMaxLag:                   16 << 20,
			DiskLow:                        Share{Percent: 10, Size: 50 << 30},
			DiskCritical:                   Share{Percent: 2, Size: 4 << 30},
			ManageSynchronizedStandbySlots: true,
			LostWAL:                        SaveLost,
			LostWALMax:                     1 << 30,
			LostReports:                    20,
		},
	}
}

// Names lists the servers of the pair in alphabetical order.
func (p *Pair) Names() []pair.Server {
	var names []pair.Server
	for _, name := range slices.Sorted(maps.Keys(p.Servers)) {
		names = append(names, pair.Server(name))
	}
	return names
}

// PostgreSQL uses the server's name as application_name and in slot names, which
// allow no other characters and 63 bytes (slot.c, ReplicationSlotValidateName, 15).
// The pair's name becomes a file name on the arbiter.
var (
	serverName = regexp.MustCompile(`^[a-z0-9_]{1,50}$`)
	// What syncrep_scanner.l reads as something else than a name: its keywords, and a
	// number with letters behind it (src/backend/replication, 13 to 18).
	ofGrammar = regexp.MustCompile(`^(any|first|[0-9]+[a-z_].*)$`)
	// Whom the certificates of a pair's authority may be of besides its servers, and who asks
	// on the unix socket.
	ofOthers = regexp.MustCompile(`^(arbiter|ca|local)$`)
	pairName = regexp.MustCompile(`^[a-z0-9_][a-z0-9_-]{0,49}$`)
)

// CheckPairName says what is wrong with the name of a pair.
func CheckPairName(name string) error {
	if !pairName.MatchString(name) {
		return fmt.Errorf("%q is not a usable name; take 1 to 50 of a-z, 0-9, _ and -", name)
	}
	return nil
}

// CheckServerName says what is wrong with the name of a server.
func CheckServerName(name string) error {
	switch {
	case !serverName.MatchString(name):
		return fmt.Errorf("%q is not a usable name; take 1 to 50 of a-z, 0-9 and _", name)
	case ofGrammar.MatchString(name):
		return fmt.Errorf("%q cannot stand in synchronous_standby_names, where it means something else; take another name", name)
	case ofOthers.MatchString(name):
		return fmt.Errorf("%q is not a server's name in a certificate, where it means something else; take another name", name)
	}
	return nil
}

func (p *Pair) check(at *source) {
	at.require("pair", p.Name)
	if err := CheckPairName(p.Name); err != nil {
		at.complain("pair", "%v", err)
	}
	if n := len(p.Servers); n != 2 {
		at.complain("servers", "a pair has exactly two servers, but %d are here; write [servers.NAME] twice", n)
	}
	for _, name := range p.Names() {
		key := dotted("servers", string(name))
		if err := CheckServerName(string(name)); err != nil {
			at.complain(key, "%v", err)
		}
		e := p.Servers[string(name)]
		at.requireAddress(key+".admin", e.Admin)
		at.requireAddress(key+".replication", e.Replication)
		at.requireAddress(key+".client", e.Client)
	}
	p.Arbiter.check(at)
	p.checkDistinct(at)
	p.Timings.check(at)
	p.checkFencingDelay(at)
	p.Policy.check(at)
}

func (a *ArbiterOf) check(at *source) {
	at.require("arbiter.kind", string(a.Kind))
	switch a.Kind {
	case Witness:
		at.requireAddress("arbiter.address", a.Address)
	case None, Etcd, Command:
		if a.Address != "" {
			at.complain("arbiter.address", "kind is %q, which has no address; remove it or set kind = %q", a.Kind, Witness)
		}
	default:
		at.complain("arbiter.kind", "%q is not a kind of arbiter; write %q, %q, %q or %q", a.Kind, Witness, Etcd, Command, None)
	}
	a.Etcd.check(at, a.Kind)
}

func (p *Policy) check(at *source) {
	for i, way := range p.Rejoin {
		if way != Rewind && way != Rebuild {
			at.complain("policy.rejoin", "%q is not a way to rejoin; write %q or %q", way, Rewind, Rebuild)
		}
		if slices.Contains(p.Rejoin[:i], way) {
			at.complain("policy.rejoin", "%q is here twice", way)
		}
	}
	if c := p.RebuildCommand; len(c) > 0 && !filepath.IsAbs(c[0]) {
		at.complain("policy.rebuild_command", "%q is not an absolute path; write where the program is on both servers, then its arguments", c[0])
	}
	if p.LostWAL != SaveLost && p.LostWAL != RequireLost && p.LostWAL != ReportLost {
		at.complain("policy.lost_wal", "%q is none of %q, %q and %q", p.LostWAL, SaveLost, RequireLost, ReportLost)
	}
	if p.LostReports < 1 {
		at.complain("policy.lost_reports", "%d is too few: keep at least 1", p.LostReports)
	}
	if p.AttachMaxLag == 0 {
		at.complain("policy.attach_max_lag", "must be more than 0: a standby in use is always a little behind")
	}
	if !p.DiskCritical.below(p.DiskLow) {
		at.complain("policy.disk_critical", "%s must be less than disk_low, %s: a switch must leave room for the way back", p.DiskCritical, p.DiskLow)
	}
}
