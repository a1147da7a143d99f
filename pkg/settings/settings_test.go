package settings

import (
	"strings"
	"testing"

	"mcctl/pkg/pgconf"
)

const site = "# ours\nport = 5432\nsynchronous_standby_names = 'server2'\t# keep me\r\nwork_mem = 4MB\n"

func files(conf, auto string) Files {
	return Files{Conf: pgconf.Parse([]byte(conf)), Auto: pgconf.Parse([]byte(auto))}
}

func TestGoingAloneAndBackRestoresEveryByte(t *testing.T) {
	f := files(site, "")
	alone, paired := Wanted{Other: "server2"}, Wanted{Other: "server2", Wait: true}
	if !paired.Hold(f) || alone.Hold(f) {
		t.Fatal("the file says paired")
	}
	alone.Write(f)
	if got, want := string(f.Conf.Bytes()), strings.Replace(site, "synchronous", "#synchronous", 1); got != want {
		t.Errorf("alone:\n%q\nwant\n%q", got, want)
	}
	if !alone.Hold(f) || paired.Hold(f) {
		t.Error("the file says alone")
	}
	paired.Write(f)
	if got := string(f.Conf.Bytes()); got != site {
		t.Errorf("paired again:\n%q\nwant\n%q", got, site)
	}
}

func TestAlterSystemDoesNotOverride(t *testing.T) {
	f := files(site, "synchronous_standby_names = '*'\nwork_mem = '8MB'\n")
	w := Wanted{Other: "server2", Wait: true}
	if w.Hold(f) {
		t.Error("postgresql.auto.conf overrides the name")
	}
	w.Write(f)
	if got := string(f.Auto.Bytes()); !w.Hold(f) || !strings.Contains(got, "work_mem = '8MB'") {
		t.Errorf("postgresql.auto.conf: %q", got)
	}
}

func TestStandbyHasItsUpstream(t *testing.T) {
	f := files(site, "")
	w := Wanted{Other: "server1", Wait: true, Slots: true, Upstream: "host=h password=x", Slot: Slot("server2")}
	w.Write(f)
	again := files(string(f.Conf.Bytes()), string(f.Auto.Bytes()))
	for name, want := range map[string]string{SyncNames: "server1", SyncSlots: "mcctl_server1", Conninfo: "host=h password=x", SlotName: "mcctl_server2"} {
		if got, ok := again.Conf.Get(name); !ok || got != want {
			t.Errorf("%s = %q, %v; want %q", name, got, ok, want)
		}
	}
	if !w.Hold(again) {
		t.Error("what was written does not hold")
	}
}

func TestGateLetsOnlySupervisorAndReplicationIn(t *testing.T) {
	const hba = `# comment
local   all  all            peer map=site
local   app  "app user"     scram-sha-256
host    all  all  10.0.0.0/8  scram-sha-256
host    replication  repl  10.0.0.2/32  scram-sha-256
hostssl all,replication  all  10.0.0.0/8  cert
host    "replication"  all  10.0.0.0/8  trust
@include me
`
	got := string(GateHBA("postgres", []byte(hba)))
	want := `# Written by mcctl: the primary waits for its standby before it lets clients in.
local all "postgres" peer map=site
local app "postgres" scram-sha-256
host replication repl 10.0.0.2/32 scram-sha-256
hostssl replication all 10.0.0.0/8 cert
`
	if got != want {
		t.Errorf("gate:\n%s\nwant:\n%s", got, want)
	}
}
