package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOrigins(t *testing.T) {
	dir := copyExample(t, "server1", `profile = "default"`, `profile = "tight"`, "heartbeat_interval = \"250ms\"", "", "poll_interval = \"250ms\"", "poll_interval = \"50ms\"", "failover = true", "")
	values, err := Origins(dir)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][2]string{
		"pair":                       {`"orders"`, dir + "/pair.toml:4"},
		"servers.server2.admin":      {`"192.0.2.110:27540"`, dir + "/pair.toml:15"},
		"timings.heartbeat_interval": {`"100ms"`, "profile tight"},
		"timings.poll_interval":      {`"50ms"`, dir + "/pair.toml:"},
		"policy.failover":            {"true", "default"},
		"policy.rejoin":              {`["rewind", "rebuild"]`, dir + "/pair.toml:"},
		"policy.attach_max_lag":      {`"16MB"`, dir + "/pair.toml:"},
		"postgres.port":              {"5432", dir + "/server.toml:"},
		"config_file":                {`"/var/lib/postgresql/15/main/postgresql.conf"`, "from data_directory"},
		"log_file":                   {`"` + dir + `/log/postgresql.log"`, "from the management directory"},
		"tls.key":                    {`"` + dir + `/tls/server1.key"`, dir + "/server.toml:"},
	} {
		i := slices.IndexFunc(values, func(v Value) bool { return v.Key == key })
		if i < 0 || values[i].Value != want[0] || !strings.HasPrefix(values[i].Source, want[1]) {
			t.Errorf("%s: got %+v, want %s", key, values[max(i, 0)], want)
		}
	}
	if values, err = Origins(copyExample(t, "arbiter")); err != nil || values[0].Key != "listen" {
		t.Errorf("arbiter: %+v, %v", values, err)
	}
	if _, err := Origins(copyExample(t, "server1", "port = 5432", "port = 0")); err == nil {
		t.Error("what Load refuses has origins")
	}
}

// Adopt must not mix timings that contradict each other, and says of each key when it
// comes into force.
func TestAdopt(t *testing.T) {
	dir := copyExample(t, "server1")
	c := load(t, dir)
	edit := func(file string, edits ...string) []Change {
		t.Helper()
		path := filepath.Join(dir, file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.NewReplacer(edits...).Replace(string(b))), 0o600); err != nil {
			t.Fatal(err)
		}
		return c.Adopt(load(t, dir))
	}
	if got := c.Adopt(load(t, dir)); len(got) != 0 {
		t.Errorf("without a change: %+v", got)
	}
	got := edit(PairFile, `["rewind", "rebuild"]`, `["rewind"]`, `"192.0.2.110:5432"`, `"192.0.2.111:5432"`, `promote_timeout = "60s"`, `promote_timeout = "90s"`)
	want := []Change{
		{PairFile, "servers.server2.replication", `"192.0.2.110:5432"`, `"192.0.2.111:5432"`, true},
		{PairFile, "servers.server2.client", `"192.0.2.110:5432"`, `"192.0.2.111:5432"`, true},
		{PairFile, "timings.promote_timeout", `"1m0s"`, `"1m30s"`, false},
		{PairFile, "policy.rejoin", `["rewind", "rebuild"]`, `["rewind"]`, false},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(c.Policy().Rejoin) != 1 || c.Timings().PromoteTimeout.Duration != 90*time.Second || c.Endpoint("server2").Replication != "192.0.2.110:5432" {
		t.Errorf("in force: %+v, %+v, %+v", c.Policy(), c.Timings(), c.Endpoint("server2"))
	}
	if got = edit(PairFile); len(got) != 2 {
		t.Errorf("what came into force is told again: %+v", got)
	}
	// 3s is twice the new heartbeat_timeout, but not twice the one that stays for now.
	got = edit(PairFile, `heartbeat_timeout = "2s"`, `heartbeat_timeout = "1500ms"`, `isolation_timeout = "5s"`, `isolation_timeout = "3s"`)
	for _, change := range got {
		if strings.HasPrefix(change.Key, "timings.") && !change.Restart {
			t.Errorf("%+v is in force", change)
		}
	}
	if t.Failed() || c.Timings().IsolationTimeout.Duration != 5*time.Second {
		t.Errorf("isolation_timeout is %s", c.Timings().IsolationTimeout)
	}
	got = edit(ServerFile, "port = 5432", "port = 5433")
	if i := slices.IndexFunc(got, func(c Change) bool { return c.File == ServerFile }); i < 0 || got[i].Key != "postgres.port" || !got[i].Restart {
		t.Errorf("server.toml: %+v", got)
	}
}
