package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// problems loads the edited example and tells what is wrong with it, without the
// directory's name.
func problems(t *testing.T, edits ...string) []string {
	t.Helper()
	dir := copyExample(t, "server1", edits...)
	_, err := Load(dir)
	return lines(dir, err)
}

func lines(dir string, err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(strings.ReplaceAll(err.Error(), dir+"/", ""), "\n")
}

func TestEachProblem(t *testing.T) {
	for _, c := range []struct{ was, is, want string }{
		// Keys.
		{`heartbeat_timeout = "2s"`, `heartbeat_timout = "2s"`, `pair.toml:33: timings.heartbeat_timout: is not a known key; did you mean heartbeat_timeout?`},
		{`failover = true`, `Failover = true`, `pair.toml:48: policy.Failover: is not a known key; write it in lower case, failover`},
		{`failover = true`, `socket = true`, `pair.toml:48: policy.socket: is not a known key; known here are failover, rejoin, attach_max_lag, manage_synchronized_standby_slots`},
		{`failover = true`, `poll_interval = "1s"`, `pair.toml:48: policy.poll_interval: is not a known key here; it belongs under [timings]`},
		{"options = \"\"", `database = ""`, `server.toml:26: replication.database: is not a known key here; it belongs under [postgres]`},
		{"options = \"\"", `log_file = ""`, `server.toml:26: replication.log_file: is not a known key here; it belongs at the top, before the first [table]`},
		{`pair = "orders"`, "pair = \"orders\"\nclient = \"x\"", `pair.toml:5: client: is not a known key here; it belongs under [servers.NAME]`},
		{"[arbiter]", "[arbitre]", `pair.toml:25: arbitre: is not a known key; did you mean arbiter?`},
		{`database = "postgres"`, `"data base" = "x"`, `server.toml:18: postgres."data base": is not a known key; did you mean database?`},
		// Syntax, of which there is only one at a time.
		{`port = 5432`, `port = `, `server.toml:16: expected value but found '#' instead`},
		{`port = 5432`, "port = 5432\nport = 5433", `server.toml:17: Key 'postgres.port' has already been defined.`},
		// Types.
		{`port = 5432`, `port = "5432"`, `server.toml:16: postgres.port: must be a whole number, but is a string`},
		{`port = 5432`, `port = 5432.0`, `server.toml:16: postgres.port: must be a whole number, but is a number with a fraction`},
		{`failover = true`, `failover = "true"`, `pair.toml:48: policy.failover: must be true or false, but is a string`},
		{`user = "mcctl_replication"`, `user = 5`, `server.toml:24: replication.user: must be a string in quotes, but is a whole number`},
		{`rejoin = ["rewind", "rebuild"]`, `rejoin = "rewind"`, `pair.toml:49: policy.rejoin: must be a list of strings, such as ["a", "b"], but is a string`},
		{`rejoin = ["rewind", "rebuild"]`, `rejoin = [1]`, `pair.toml:49: policy.rejoin: must be a list of strings, such as ["a", "b"], but is a list`},
		{`profile = "default"`, `profile = ["default"]`, `pair.toml:31: timings.profile: must be a string in quotes, but is a list`},
		{`"250ms"        # how often a sup`, `["250ms"]      # how often a sup`, `pair.toml:32: timings.heartbeat_interval: must be a string in quotes, but is a list`},
		{`pair = "orders"`, "pair = \"orders\"\npolicy = 1\n[sub]", `pair.toml:5: policy: must be a table, [policy], but is a whole number`},
		// Units.
		{`shutdown_timeout = "60s"`, `shutdown_timeout = 60`, `pair.toml:41: timings.shutdown_timeout: "60" is not a duration; write a number with its unit, such as "250ms" or "1m30s"`},
		{`shutdown_timeout = "60s"`, `shutdown_timeout = "0s"`, `pair.toml:41: timings.shutdown_timeout: is 0s; it must be at least 10ms`},
		{`shutdown_timeout = "60s"`, `shutdown_timeout = "-60s"`, `pair.toml:41: timings.shutdown_timeout: is -1m0s; it must be at least 10ms`},
		{`"16MB"`, `"16mb"`, `pair.toml:51: policy.attach_max_lag: "16mb" is not a size; write a whole number with one of B, kB, MB, GB, TB, such as "16MB"`},
		{`"16MB"`, `0`, `pair.toml:51: policy.attach_max_lag: must be more than 0: a standby in use is always a little behind`},
		// Relations.
		{`heartbeat_timeout = "2s"`, `heartbeat_timeout = "300ms"`, `pair.toml:33: timings.heartbeat_timeout (300ms) must be at least 3 x heartbeat_interval (250ms) = 750ms`},
		{`commit_stall_max = "2s"`, `commit_stall_max = "400ms"`, `pair.toml:37: timings.commit_stall_max (400ms) must be at least 2 x poll_interval (250ms) = 500ms`},
		{`probe_timeout = "2s" `, `probe_timeout = "900ms"`, `pair.toml:36: timings.probe_timeout (900ms) must be at least probe_interval (1s)`},
		{`io_probe_timeout = "5s"`, `io_probe_timeout = "0.5s"`, `pair.toml:40: timings.io_probe_timeout (500ms) must be at least io_probe_interval (1s)`},
		{`isolation_timeout = "5s"`, `isolation_timeout = "3s"`, `pair.toml:38: timings.isolation_timeout (3s) must be at least 2 x heartbeat_timeout (2s) = 4s`},
		// Names.
		{`pair = "orders"`, `pair = "My Orders"`, `pair.toml:4: pair: "My Orders" is not a usable name; take 1 to 50 of a-z, 0-9, _ and -`},
		{`pair = "orders"`, `pair = ""`, `pair.toml:4: pair: must not be empty`},
		{`pair = "orders"`, ``, `pair.toml: pair: is missing; write it down`},
		{`[servers.server2]`, `[servers.server-2]`, `pair.toml:14: servers.server-2: "server-2" is not a usable name; take 1 to 50 of a-z, 0-9 and _`},
		{`[servers.server2]`, `[servers."server.2"]`, `pair.toml:14: servers."server.2": "server.2" is not a usable name; take 1 to 50 of a-z, 0-9 and _`},
		{`"server1"  `, `"server3"  `, `server.toml:3: server: "server3" is not in pair.toml, which has ["server1" "server2"]`},
		{"[arbiter]", "[servers.server3]\nadmin = \"c:1\"\nreplication = \"c:2\"\nclient = \"c:2\"\n[arbiter]", `pair.toml:9: servers: a pair has exactly two servers, but 3 are here; write [servers.NAME] twice`},
		// Choices.
		{`profile = "default"`, `profile = "fast"`, `pair.toml:31: timings.profile: "fast" is not a profile; write "default" or "tight"`},
		{`kind = "witness"`, `kind = "judge"`, `pair.toml:26: arbiter.kind: "judge" is not a kind of arbiter; write "witness" or "none"`},
		{`kind = "witness"`, `kind = "none"`, `pair.toml:27: arbiter.address: kind is "none", which has no address; remove it or set kind = "witness"`},
		{`kind = "witness"`, ``, `pair.toml:25: arbiter.kind: is missing; write it down`},
		{`address = "192.0.3.120:27541"`, ``, `pair.toml:25: arbiter.address: is missing; write it down`},
		{`rejoin = ["rewind", "rebuild"]`, `rejoin = ["copy"]`, `pair.toml:49: policy.rejoin: "copy" is not a way to rejoin; write "rewind" or "rebuild"`},
		{`rejoin = ["rewind", "rebuild"]`, `rejoin = ["rewind", "rewind"]`, `pair.toml:49: policy.rejoin: "rewind" is here twice`},
		// Addresses.
		{`admin = "192.0.2.110:27540"`, `admin = "192.0.2.110"`, `pair.toml:15: servers.server2.admin: "192.0.2.110" is not an address; write host:port, such as "192.0.2.100:5432" or "[2001:db8::1]:5432"`},
		{`admin = "192.0.2.110:27540"`, `admin = "192.0.2.110:http"`, `pair.toml:15: servers.server2.admin: "192.0.2.110:http" has no usable port; write a number from 1 to 65535`},
		{`admin = "192.0.2.110:27540"`, `admin = "0.0.0.0:27540"`, `pair.toml:15: servers.server2.admin: "0.0.0.0:27540" names no host that others could connect to; write the address of one interface`},
		{`admin = "192.0.2.110:27540"`, `admin = "a b:27540"`, `pair.toml:15: servers.server2.admin: "a b:27540" has no usable host; write a name or an IP address`},
		{`admin = "192.0.2.110:27540"`, `admin = "192.0.2.100:27540"`, `pair.toml:15: servers.server2.admin: 192.0.2.100:27540 is servers.server1.admin already (the supervisor of server1); every service has its own address`},
		{`admin = "192.0.2.110:27540"`, `admin = "[::ffff:192.0.2.100]:5432"`, `pair.toml:15: servers.server2.admin: [::ffff:192.0.2.100]:5432 is servers.server1.replication already (PostgreSQL of server1); every service has its own address`},
		{`192.0.3.120:27541`, `192.0.2.110:27540`, `pair.toml:27: arbiter.address: 192.0.2.110:27540 is servers.server2.admin already (the supervisor of server2); every service has its own address`},
		// This server.
		{`bin_directory = "/usr/lib/postgresql/15/bin"`, ``, `server.toml: bin_directory: is missing; write it down`},
		{`port = 5432`, ``, `server.toml:14: postgres.port: is missing; write it down`},
		{`port = 5432`, `port = 65536`, `server.toml:16: postgres.port: 65536 is not a port; write a number from 1 to 65535`},
		{`"/var/run/postgresql"`, `"/` + strings.Repeat("x", 100) + `"`, `server.toml:15: postgres.socket_directory: the socket's path would have 116 bytes, but a socket allows 107; choose a shorter directory`},
		{"options = \"\"", `options = "sslmode=require  password = x"`, `server.toml:26: replication.options: must not hold a password; put it into the file that replication.passfile names`},
		{"options = \"\"", `options = "sslrootcert='a\\' b=' port=5"`, `server.toml:26: replication.options: port is set by mcctl; remove it`},
		{`key = "tls/server1.key"`, ``, `server.toml:30: tls.key: is missing; write it down`},
	} {
		if got := problems(t, c.was, c.is); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s\n  got  %s\n  want %s", c.is, strings.Join(got, "\n       "), c.want)
		}
	}
}

func TestAllowed(t *testing.T) {
	for _, c := range [][2]string{
		{"options = \"\"", `options = "sslmode=verify-full sslrootcert='my port=1'"`},
		{`rejoin = ["rewind", "rebuild"]`, `rejoin = []`},
		{`client = "192.0.2.110:5432"`, `client = "[2001:db8::2]:6432"`},
		{`client = "192.0.2.110:5432"`, `client = "db2.example.com:5432"`},
	} {
		if got := problems(t, c[0], c[1]); got != nil {
			t.Errorf("%s is refused: %s", c[1], got)
		}
	}
}

// All problems of both files are told at once, in the order of their lines.
func TestAllProblemsAtOnce(t *testing.T) {
	got := problems(
		t,
		`pair = "orders"`, `pair = ""`,
		`failover = true`, `failover = 1`,
		`kind = "witness"`, `knid = "witness"`,
		`port = 5432`, `port = 0`,
		`key = "tls/server1.key"`, `kye = "x"`,
	)
	want := []string{
		`pair.toml:4: pair: must not be empty`,
		`pair.toml:25: arbiter.kind: is missing; write it down`,
		`pair.toml:26: arbiter.knid: is not a known key; did you mean kind?`,
		`pair.toml:48: policy.failover: must be true or false, but is a whole number`,
		`server.toml:16: postgres.port: 0 is not a port; write a number from 1 to 65535`,
		`server.toml:30: tls.key: is missing; write it down`,
		`server.toml:33: tls.kye: is not a known key; did you mean key?`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A broken relation is told where the operator wrote one of its sides.
func TestRelationToAProfile(t *testing.T) {
	got := problems(t, `heartbeat_interval = "250ms"`, `heartbeat_interval = "700ms"`, `heartbeat_timeout = "2s"`, ``)
	want := []string{`pair.toml:32: timings.heartbeat_timeout (2s) must be at least 3 x heartbeat_interval (700ms) = 2.1s`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProblemIsAValue(t *testing.T) {
	_, err := Load(copyExample(t, "server1", `port = 5432`, `port = 0`))
	var p Problem
	if !errors.As(err, &p) || p.Line != 16 || filepath.Base(p.Path) != ServerFile {
		t.Errorf("%v is no Problem with a line: %+v", err, p)
	}
}

func TestSecretsAreClosed(t *testing.T) {
	dir := copyExample(t, "server1")
	if err := os.Mkdir(filepath.Join(dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	key, passfile := filepath.Join(dir, "tls/server1.key"), filepath.Join(dir, "pgpass")
	for mode, want := range map[os.FileMode][]string{
		0o600: nil,
		0o400: nil,
		0o640: {
			fmt.Sprintf("server.toml:25: replication.passfile: pgpass has mode 0640 and can be read by others; run: chmod 600 pgpass"),
			fmt.Sprintf("server.toml:33: tls.key: tls/server1.key has mode 0640 and can be read by others; run: chmod 600 tls/server1.key"),
		},
	} {
		for _, path := range []string{key, passfile} {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Load(dir)
		if got := lines(dir, err); !slices.Equal(got, want) {
			t.Errorf("mode %v: got %q, want %q", mode, got, want)
		}
		if err := errors.Join(os.Remove(key), os.Remove(passfile)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestArbiterProblems(t *testing.T) {
	dir := copyExample(
		t, "arbiter",
		`"0.0.0.0:27541"`, `"27541"`,
		`heartbeat_timeout = "2s"`, `heartbeat_timeout = "2"`,
		`records = "records"`, `record = "records"`,
		`ca = "tls/ca.crt"`, ``,
	)
	_, err := LoadArbiter(dir)
	want := []string{
		`arbiter.toml:4: listen: "27541" is not an address; write host:port, such as "192.0.2.100:5432" or "[2001:db8::1]:5432"`,
		`arbiter.toml:5: record: is not a known key; did you mean records?`,
		`arbiter.toml:7: tls.ca: is missing; write it down`,
		`arbiter.toml:13: timings.heartbeat_timeout: "2" is not a duration; write a number with its unit, such as "250ms" or "1m30s"`,
	}
	if got := lines(dir, err); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
