package check

import (
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/disk"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/shell"
)

// Side is everything seen of one server, by a process on that server.
type Side struct {
	Server pair.Server `json:"server"`
	Mcctl  string      `json:"mcctl"` // version
	Euid   int         `json:"euid"`  // of who looked
	Mcdir  string      `json:"mcdir"`
	// Missing says of each area that could not be looked at why.
	Missing map[Area]string `json:"missing,omitempty"`
	Config  config.Config   `json:"config"`

	Paths []Path `json:"paths"`
	// Configuration is PostgreSQL's: files, and the directories that hold them.
	Configuration []Path `json:"configuration"`
	// Closed says of the settings that mcctl manages which it cannot change, and why.
	Closed []string `json:"closed,omitempty"`

	Programs    map[string]string `json:"programs"` // name: version, or "" when it is missing
	VersionFile int               `json:"version_file"`
	// DataError is why the data directory is none.
	DataError string `json:"data_error,omitempty"`
	Bin       string `json:"bin"`
	// RebuildCommand is why policy.rebuild_command is not run; empty without one.
	RebuildCommand string `json:"rebuild_command,omitempty"`
	// Places is why pg_wal and the tablespaces do not lie apart; empty if they do.
	Places string `json:"places,omitempty"`
	// Mounted is what is mounted inside the data, a tablespace or pg_wal; empty if nothing is.
	Mounted   string           `json:"mounted,omitempty"`
	Control   postgres.Control `json:"control"`
	Overrides []Override       `json:"overrides"`
	Spaces    []Space          `json:"spaces"`
	// NotBeside is why no copy can be made beside the data, to take its place in the end.
	NotBeside string `json:"not_beside,omitempty"`
	Units     []Unit `json:"units"`
	// Certificate is empty when everything about it is right but perhaps its age.
	Certificate string    `json:"certificate_error,omitempty"`
	Expires     time.Time `json:"expires"` // the first of authority and certificate
	Looked      time.Time `json:"looked"`  // this server's wall clock

	Postgres   *postgres.Inspection `json:"postgres,omitempty"`
	Replicates Reach                `json:"replicates"` // a replication connection to the other server
	Connects   Reach                `json:"connects"`   // an ordinary one
	Supervisor *Known               `json:"supervisor,omitempty"`
}

// Path is a file or directory whose owner and mode matter.
type Path struct {
	Name string `json:"name"` // "data directory" and the like
	Path string `json:"path"`
	Mode uint32 `json:"mode"` // permission bits
	UID  int    `json:"uid"`
	User string `json:"user"`
	// Unreadable is why a file of PostgreSQL's configuration cannot be read.
	Unreadable string `json:"unreadable,omitempty"`
}

// Override is a managed setting in postgresql.auto.conf.
type Override struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	File  string `json:"file"`
	Line  int    `json:"line"`
}

// Space is a file system that fills up.
type Space struct {
	Name   string `json:"name"` // "data directory", "pg_wal"
	Path   string `json:"path"`
	Device uint64 `json:"device"`
	disk.Room
}

// Unit is a systemd unit, or a Debian cluster, that would start this PostgreSQL.
type Unit struct {
	Name string `json:"name"`
	File string `json:"file"` // where that is said
}

// Reach is how a connection to the other server went.
type Reach struct {
	Error    string   `json:"error,omitempty"`
	SystemID uint64   `json:"system_id"`
	Lacks    []string `json:"lacks,omitempty"`
}

// Known is what only a running supervisor can tell.
type Known struct {
	Record record.Record `json:"record"`
	// Linked: its connection to the other supervisor works, with both certificates.
	Linked    bool   `json:"linked"`
	LinkError string `json:"link_error,omitempty"`
	// Reached: its connection to the arbiter works. The error of one that is reached is
	// why it would yet take no change.
	Reached      bool   `json:"reached"`
	ArbiterError string `json:"arbiter_error,omitempty"`
	Failover     bool   `json:"failover"`
	Held         bool   `json:"held"`
	DiskError    string `json:"disk_error,omitempty"`
	Postgres     string `json:"postgres"` // as it classifies its own
	Stream       string `json:"stream"`
	Unwatched    bool   `json:"unwatched,omitempty"` // its watch, which would start it again, has gone
}

// Scene is what a report is made from.
type Scene struct {
	Pair string
	Here *Side
	// There is nil when the other server could not be asked; NoAnswer says why.
	There    *Side
	NoAnswer string
	// Skew is how far the other server's wall clock is ahead, SkewError how wrong that
	// may be; both 0 when There is nil.
	Skew, SkewError time.Duration
	Now             time.Time
}

func (s *Side) words() map[string]string {
	c := s.Config
	return map[string]string{
		"mcdir": s.Mcdir, "data": c.Server.DataDirectory, "bin": c.Server.BinDirectory, "conf": c.Server.ConfigFile,
		"hba": c.Server.HBAFile, "me": string(s.Server), "other": string(c.Other()), "user": c.Server.Replication.User,
		"passfile": c.Server.Replication.Passfile, "there": c.Endpoint(c.Other()).Replication, "arbiter": c.Pair.Arbiter.Where(),
		"admin": c.Endpoint(c.Other()).Admin, "psql": s.psql(),
	}
}

func (s *Side) psql() string {
	p := s.Config.Server.Postgres
	return "psql -h " + shell.Word(p.SocketDirectory) + " -p " + itoa(p.Port) + " -U " + shell.Word(p.User) + " -d " + shell.Word(p.Database)
}

// primary reports whether this PostgreSQL is not in recovery.
func (s *Side) primary() bool { return s.Postgres != nil && !s.Postgres.InRecovery }
