package setup

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"mcctl/pkg/config"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// Plan is what has to be known. Which fields are needed depends on the kind.
type Plan struct {
	Pair  string `json:"pair,omitempty" flag:"pair"`
	Name  string `json:"name,omitempty" flag:"name"`
	Other string `json:"other,omitempty" flag:"other-name"`
	// Addresses, host:port; a client address left out is the replication address.
	Admin            string `json:"admin,omitempty" flag:"admin"`
	Replication      string `json:"replication,omitempty" flag:"replication"`
	Client           string `json:"client,omitempty" flag:"client"`
	OtherAdmin       string `json:"other_admin,omitempty" flag:"other-admin"`
	OtherReplication string `json:"other_replication,omitempty" flag:"other-replication"`
	OtherClient      string `json:"other_client,omitempty" flag:"other-client"`
	// ArbiterKind is one of package config's; empty is a witness. What follows are keys of
	// pair.toml below arbiter.: a relative path is meant from the management directory of
	// either server.
	ArbiterKind      string `json:"arbiter_kind,omitempty" flag:"arbiter-kind"`
	Arbiter          string `json:"arbiter,omitempty" flag:"arbiter-address" key:"address"`
	Endpoints        string `json:"arbiter_endpoints,omitempty" flag:"arbiter-endpoints" key:"etcd.endpoints"` // with commas
	EtcdPrefix       string `json:"arbiter_prefix,omitempty" flag:"arbiter-prefix" key:"etcd.prefix"`
	EtcdCA           string `json:"arbiter_ca,omitempty" flag:"arbiter-ca" key:"etcd.ca"`
	EtcdCertificate  string `json:"arbiter_cert,omitempty" flag:"arbiter-cert" key:"etcd.certificate"`
	EtcdKey          string `json:"arbiter_key,omitempty" flag:"arbiter-key" key:"etcd.key"`
	EtcdUser         string `json:"arbiter_user,omitempty" flag:"arbiter-user" key:"etcd.username"`
	EtcdPasswordFile string `json:"arbiter_password_file,omitempty" flag:"arbiter-password-file" key:"etcd.password_file"`
	FencingDelay     string `json:"arbiter_fencing_delay,omitempty" flag:"arbiter-fencing-delay" key:"fencing_delay"`
	// Arbitration and Fencing are this server's commands, absolute.
	Arbitration string `json:"arbitration_command,omitempty" flag:"arbitration-command"`
	Fencing     string `json:"fencing_command,omitempty" flag:"fencing-command"`
	Profile     string `json:"profile,omitempty" flag:"profile"`
	// DataDirectory is PostgreSQL's, absolute; Bin where its programs are; Socket the
	// directory of its unix socket; User and Database whom the supervisor connects as.
	DataDirectory string `json:"data_directory,omitempty" flag:"data-directory"`
	Bin           string `json:"bin_directory,omitempty" flag:"bin-directory"`
	Socket        string `json:"socket_directory,omitempty" flag:"socket-directory"`
	User          string `json:"user,omitempty" flag:"user"`
	Database      string `json:"database,omitempty" flag:"database"`
	Replicator    string `json:"replication_user,omitempty" flag:"replication-user"`
	Locale        string `json:"locale,omitempty" flag:"locale"`
	// ConfigFile, HBAFile and IdentFile are given where they are not in the data directory.
	ConfigFile string `json:"config_file,omitempty" flag:"config-file"`
	HBAFile    string `json:"hba_file,omitempty" flag:"hba-file"`
	IdentFile  string `json:"ident_file,omitempty" flag:"ident-file"`
	// WAL is where pg_wal of a second server shall lead, absolute; empty: it is a plain
	// directory. Tablespaces are pairs OLD=NEW with commas, both absolute; one that is not
	// named goes where the first server has it.
	WAL         string `json:"waldir,omitempty" flag:"waldir"`
	Tablespaces string `json:"tablespace_mapping,omitempty" flag:"tablespace-mapping"`
	// NoWAL and NoMapping take an earlier answer of these back.
	NoWAL     bool `json:"-"`
	NoMapping bool `json:"-"`
	// CA is the directory of an authority to use; empty makes a new one.
	CA string `json:"ca,omitempty" flag:"ca"`
	// Listen is an arbiter's.
	Listen string `json:"listen,omitempty" flag:"listen"`
	// New: the cluster did not exist before.
	New bool `json:"new,omitempty"`
}

// Needed lists the flags that a plan of this kind cannot do without and has not.
func (p Plan) Needed(kind string) (flags []string) {
	var need []string
	switch kind {
	case First:
		need = slices.Concat([]string{"pair", "name", "admin", "replication", "other-name", "other-admin", "other-replication"}, p.arbiterNeeds(), []string{"data-directory"})
	case Second:
		need = []string{"data-directory"}
	}
	for _, flag := range need {
		if *p.Answer(flag) == "" {
			flags = append(flags, flag)
		}
	}
	return flags
}

// OpenArbiter tells that the first server's flags do not say all that the arbiter needs.
func (p Plan) OpenArbiter() bool {
	return slices.ContainsFunc(p.arbiterNeeds(), func(flag string) bool { return *p.Answer(flag) == "" })
}

// Answer is the text of a flag.
func (p *Plan) Answer(flag string) *string {
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("flag") == flag && v.Field(i).Kind() == reflect.String {
			return v.Field(i).Addr().Interface().(*string)
		}
	}
	panic("setup: there is no answer for a flag " + flag)
}

// merge takes over what is given now and was not before, and lists the flags that were
// answered otherwise.
func (p *Plan) merge(given Plan) (flags []string) {
	a, b := reflect.ValueOf(p).Elem(), reflect.ValueOf(given)
	for i := range a.NumField() {
		flag := a.Type().Field(i).Tag.Get("flag")
		switch {
		case flag == "" || b.Field(i).IsZero():
		case a.Field(i).IsZero():
			a.Field(i).Set(b.Field(i))
		case !a.Field(i).Equal(b.Field(i)):
			flags = append(flags, "--"+flag)
		}
	}
	slices.Sort(flags)
	return flags
}

// pairTOML is pair.toml for both servers.
func (p Plan) pairTOML() string {
	var b strings.Builder
	b.WriteString("# What both servers of the pair must agree on. This file is the same on both.\n")
	b.WriteString("# mcctl config show lists every key with its value in force.\n\n")
	fmt.Fprintf(&b, "pair = %q\n", p.Pair)
	endpoint := func(name, admin, replication, client string) {
		if client == "" {
			client = replication
		}
		if !wire.ValidName(name) {
			name = strconv.Quote(name) // which package config will refuse, by a better message
		}
		fmt.Fprintf(&b, "\n[servers.%s]\nadmin = %q\nreplication = %q\nclient = %q\n", name, admin, replication, client)
	}
	endpoint(p.Name, p.Admin, p.Replication, p.Client)
	endpoint(p.Other, p.OtherAdmin, p.OtherReplication, p.OtherClient)
	b.WriteString("\n" + p.arbiterTOML())
	profile := p.Profile
	if profile == "" {
		profile = config.ProfileDefault
	}
	fmt.Fprintf(&b, "\n[timings]\nprofile = %q\n", profile)
	return b.String()
}

// serverTOML is server.toml of a server whose PostgreSQL listens at a port.
func (p Plan) serverTOML(port int) string {
	var b strings.Builder
	b.WriteString("# What holds on this server only. Relative paths are meant from this directory.\n\n")
	fmt.Fprintf(&b, "server = %q\n\ndata_directory = %q\nbin_directory = %q\n", p.Name, p.DataDirectory, p.Bin)
	for _, file := range [][2]string{{"config_file", p.ConfigFile}, {"hba_file", p.HBAFile}, {"ident_file", p.IdentFile}} {
		if file[1] != "" {
			fmt.Fprintf(&b, "%s = %q\n", file[0], file[1])
		}
	}
	fmt.Fprintf(&b, "\n[postgres]\nsocket_directory = %q\nport = %d\nuser = %q\ndatabase = %q\n", p.Socket, port, p.User, p.Database)
	fmt.Fprintf(&b, "\n[replication]\nuser = %q\npassfile = \"pgpass\"\n", p.Replicator)
	b.WriteString("\n" + tlsTOML(p.Name))
	head := "\n[commands]\n"
	for _, command := range [][2]string{{"fencing", p.Fencing}, {"arbitration", p.Arbitration}} {
		if command[1] != "" {
			fmt.Fprintf(&b, "%s%s = %q\n", head, command[0], command[1])
			head = ""
		}
	}
	return b.String()
}

// ownTOML is arbiter.toml.
func (p Plan) ownTOML(heartbeat string) string {
	text := fmt.Sprintf("# An arbiter: it keeps the record of any number of pairs.\n\nlisten = %q\nrecords = \"records\"\n\n%s", p.Listen, tlsTOML(arbiterName))
	if heartbeat != "" {
		text += fmt.Sprintf("\n[timings]\nheartbeat_timeout = %q\n", heartbeat)
	}
	return text
}

func tlsTOML(name string) string {
	return fmt.Sprintf("[tls]\nca = \"tls/ca.crt\"\ncertificate = \"tls/%s.crt\"\nkey = \"tls/%s.key\"\n", name, name)
}

// passfile has a line for each server, since either may be the primary.
func (p Plan) passfile(password string) string {
	var b strings.Builder
	for _, address := range []string{p.Replication, p.OtherReplication} {
		host, port := split(address)
		b.WriteString(postgres.PassfileLine(host, port, p.Replicator, password) + "\n")
	}
	return b.String()
}

// split is host and port of an address that was checked.
func split(address string) (host string, port int) {
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		return address, 0
	}
	port, _ = strconv.Atoi(digits) // checked before
	return host, port
}
