package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// paired is a healthy pair, seen from server1, its primary.
func paired() wire.Status {
	return wire.Status{
		Pair: "orders", Local: "server1", Healthy: true, Summary: "switchable", Failover: true,
		Record:  record.Record{Pair: "orders", Term: 3, Primary: "server1", Mode: pair.Paired, Revision: 12},
		Arbiter: wire.ArbiterStatus{Kind: "witness", Address: "192.0.2.3:27541", Reached: true},
		Servers: []wire.ServerStatus{
			{Server: "server1", Role: pair.Primary, Supervisor: "here", Postgres: "open", LSN: 0x3000060, Rule: 290, Why: "nothing needs to change"},
			{Server: "server2", Role: pair.Standby, Supervisor: "here", Postgres: "standby", LSN: 0x3000000, LagBytes: 96, SyncState: "sync", Rule: 390, Why: "nothing needs to change"},
		},
	}
}

// alone is a pair whose standby is being copied anew.
func alone() wire.Status {
	st := paired()
	st.Record.Mode, st.Healthy, st.Summary = pair.Alone, false, "not-switchable"
	st.NextStep = "wait until server2 has been copied"
	st.Job = &wire.Job{ID: "switch-2-1a", From: "server1", To: "server2", Phase: "failed", Final: true, Error: "the disk is full"}
	st.SyncWaiters, st.WorstStallMS = 2, 812
	st.Servers[1].Postgres, st.Servers[1].Doing, st.Servers[1].LSN = "busy", "rejoin: 40 %", 0
	return st
}

func TestStatusText(t *testing.T) {
	s := newSupervisor(t, paired())
	same(t, mcctl(t.Context(), "status", "-M", s.mcdir).stdout, `
pair      orders: switchable, healthy
record    term 3, primary server1, paired (revision 12)
arbiter   witness at 192.0.2.3:27541, reached
failover  enabled

SERVER          ROLE     SUPERVISOR  POSTGRES  LAG        RULE
server1 (here)  primary  here        open      -          290 nothing needs to change
server2         standby  here        standby   96 B sync  390 nothing needs to change
`)
	s = newSupervisor(t, alone())
	same(t, mcctl(t.Context(), "status", "-M", s.mcdir).stdout, `
pair      orders: not-switchable
record    term 3, primary server1, alone (revision 12)
arbiter   witness at 192.0.2.3:27541, reached
failover  enabled
job       switch-2-1a from server1 to server2: failed: the disk is full
commits   2 waiting for the standby; longest wait seen 812 ms

SERVER          ROLE     SUPERVISOR  POSTGRES  LAG  RULE
server1 (here)  primary  here        open      -    290 nothing needs to change
server2         standby  here        busy      -    390 nothing needs to change; now: rejoin: 40 %

next step  wait until server2 has been copied
`)
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestStatusExit(t *testing.T) {
	well, ill := newSupervisor(t, paired()), newSupervisor(t, alone())
	mcctl(t.Context(), "status", "-M", ill.mcdir).wants(t, exitDone)
	mcctl(t.Context(), "status", "--check", "-M", well.mcdir).wants(t, exitDone)
	got := mcctl(t.Context(), "status", "--check", "-M", ill.mcdir)
	got.wants(t, exitFailed, "not-switchable")
	if got.stderr != "" {
		t.Errorf("the status has said it all, yet there is more: %s", got.stderr)
	}
	ill.on(wire.KindStatus, func(json.RawMessage) (any, error) { return nil, fmt.Errorf("broken") })
	mcctl(t.Context(), "status", "-M", ill.mcdir).wants(t, exitFailed, "mcctl: status: broken")
}

func TestStatusJSON(t *testing.T) {
	s := newSupervisor(t, paired())
	var got wire.Status
	if err := json.Unmarshal([]byte(mcctl(t.Context(), "status", "-o", "json", "-M", s.mcdir).stdout), &got); err != nil {
		t.Fatal(err)
	}
	if got.Record != paired().Record || !got.Healthy || len(got.Servers) != 2 {
		t.Errorf("got %+v", got)
	}
	same(t, mcctl(t.Context(), "status", "--arbiter", "-M", s.mcdir).stdout, "arbiter: witness at 192.0.2.3:27541, reached\n")
	var arbiter wire.ArbiterStatus
	if err := json.Unmarshal([]byte(mcctl(t.Context(), "status", "--arbiter", "-o", "json", "-M", s.mcdir).stdout), &arbiter); err != nil || !arbiter.Reached {
		t.Errorf("got %+v, %v", arbiter, err)
	}
}

func TestStatusWatch(t *testing.T) {
	s := newSupervisor(t, paired())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s.on(wire.KindStatus, func(json.RawMessage) (any, error) {
		if s.count(wire.KindStatus) == 4 {
			cancel()
		}
		return paired(), nil
	})
	got := mcctl(ctx, "status", "--watch=20ms", "-M", s.mcdir)
	got.wants(t, exitDone)
	if n := strings.Count(got.stdout, "pair      orders"); n < 3 {
		t.Errorf("shown %d times", n)
	}
}

// writeConfig makes a management directory complete, with a data directory.
func writeConfig(t *testing.T, mcdir string) (data string) {
	t.Helper()
	data = filepath.Join(mcdir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(mcdir, "pair.toml"), `
pair = "orders"
[servers.server1]
admin = "127.0.0.1:1001"
replication = "127.0.0.1:1002"
client = "127.0.0.1:1002"
[servers.server2]
admin = "127.0.0.1:1003"
replication = "127.0.0.1:1004"
client = "127.0.0.1:1004"
[arbiter]
kind = "none"
`)
	write(t, filepath.Join(mcdir, "key"), "")
	write(t, filepath.Join(mcdir, "server.toml"), fmt.Sprintf(`
server = "server1"
data_directory = %q
bin_directory = "/nowhere"
[postgres]
socket_directory = %q
port = 1002
[replication]
user = "replicator"
[tls]
ca = "ca"
certificate = "crt"
key = "key"
`, data, mcdir))
	return data
}

func TestStatusOffline(t *testing.T) {
	dir := newMcdir(t)
	writeConfig(t, dir)
	if err := durable.WriteJSON(recordOf(dir), paired().Record, 0o600); err != nil {
		t.Fatal(err)
	}
	got := mcctl(t.Context(), "status", "-M", dir)
	got.wants(t, exitNotRunning)
	same(t, got.stdout, fmt.Sprintf(`
pair       orders: no supervisor is running here, on server1
record     term 3, primary server1, paired (revision 12) in this server's copy, which may be old
postgres   not running
next step  mcctl start -M %s
`, dir))
	var st offline
	if err := json.Unmarshal([]byte(mcctl(t.Context(), "status", "-o", "json", "-M", dir).stdout), &st); err != nil {
		t.Fatal(err)
	}
	if !st.Offline || st.Healthy || st.Record != paired().Record || st.Postgres != "not running" {
		t.Errorf("got %+v", st)
	}
	write(t, recordOf(dir), "{")
	mcctl(t.Context(), "status", "-M", dir).wants(t, exitNotRunning, "its copy of the record cannot be read")
}
