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

// wantProblems loads an edited example and compares what is wrong with it. In what
// is wanted, @ is the line of the edit that the problem's file has, and @text: the
// line that has the text.
func wantProblems(t *testing.T, from string, edits []string, want ...string) {
	t.Helper()
	dir := copyExample(t, from, edits...)
	for i := range want {
		want[i] = placed(t, dir, filepath.Join(example, from), edits, want[i])
	}
	_, err := Load(dir)
	if from == "arbiter" {
		_, err = LoadArbiter(dir)
	}
	if got := messages(dir, err); !slices.Equal(got, want) {
		t.Errorf("%q\n  got  %s\n  want %s", edits, strings.Join(got, "\n       "), strings.Join(want, "\n       "))
	}
}

// messages are the single problems of an error, without the directory's name.
func messages(dir string, err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(strings.ReplaceAll(err.Error(), dir+"/", ""), "\n")
}

// placed puts a line number in the place of @.
func placed(t *testing.T, dir, original string, edits []string, want string) string {
	file, rest, found := strings.Cut(want, ":@")
	if !found {
		return want
	}
	text, message, _ := strings.Cut(rest, ":")
	from := dir
	if text == "" { // an edit of one line: where it was is where it is
		from, text = original, editFor(edits, message)
	}
	b, err := os.ReadFile(filepath.Join(from, file))
	at := strings.Index(string(b), text)
	if err != nil || at < 0 {
		t.Fatalf("%s has no %q, %v", file, text, err)
	}
	return fmt.Sprintf("%s:%d:%s", file, 1+strings.Count(string(b[:at]), "\n"), message)
}

// editFor is the text that was edited: the only one, or the one whose replacement
// has the key that the message names.
func editFor(edits []string, message string) string {
	for i := 0; i < len(edits); i += 2 {
		key, _, _ := strings.Cut(edits[i+1], " ")
		if strings.Contains(message, key) && key != "" {
			return edits[i]
		}
	}
	return edits[0]
}

// edit is one change to the example of server1 and the one problem it makes.
type edit struct{ was, is, want string }

func wantEach(t *testing.T, edits []edit) {
	t.Helper()
	for _, e := range edits {
		wantProblems(t, "server1", []string{e.was, e.is}, e.want)
	}
}

func TestKeysAndTypes(t *testing.T) {
	wantEach(t, []edit{
		// Keys.
		{`heartbeat_timeout = "2s"`, `heartbeat_timout = "2s"`, `pair.toml:@: timings.heartbeat_timout: is not a known key; did you mean heartbeat_timeout?`},
		{`failover = true`, `Failover = true`, `pair.toml:@: policy.Failover: is not a known key; write it in lower case, failover`},
		{`failover = true`, `socket = true`, `pair.toml:@: policy.socket: is not a known key; known here are failover, rejoin, rebuild_command, attach_max_lag, disk_low, disk_critical, manage_synchronized_standby_slots, lost_wal, lost_wal_max, lost_reports`},
		{`failover = true`, `poll_interval = "1s"`, `pair.toml:@: policy.poll_interval: is not a known key here; it belongs under [timings]`},
		{`options = ""`, `database = ""`, `server.toml:@: replication.database: is not a known key here; it belongs under [postgres]`},
		{`options = ""`, `log_file = ""`, `server.toml:@: replication.log_file: is not a known key here; it belongs at the top, before the first [table]`},
		{`# What both`, "client = \"x\"\n#", `pair.toml:@: client: is not a known key here; it belongs under [servers.NAME]`},
		{`database = "postgres"`, `"data base" = "x"`, `server.toml:@: postgres."data base": is not a known key; did you mean database?`},
		// Syntax, of which there is only one at a time.
		{`port = 5432`, `port = `, `server.toml:@: expected value but found '\n' instead`},
		{`port = 5432`, "\nport = 5432\nport = 5433", `server.toml:@port = 5433: Key 'postgres.port' has already been defined.`},
		// Types.
		{`port = 5432`, `port = "5432"`, `server.toml:@: postgres.port: must be a whole number, but is a string`},
		{`port = 5432`, `port = 5432.0`, `server.toml:@: postgres.port: must be a whole number, but is a number with a fraction`},
		{`failover = true`, `failover = "true"`, `pair.toml:@: policy.failover: must be true or false, but is a string`},
		{`user = "mcctl_replication"`, `user = 5`, `server.toml:@: replication.user: must be a string in quotes, but is a whole number`},
		{`rejoin = ["rewind", "rebuild"]`, `rejoin = "rewind"`, `pair.toml:@: policy.rejoin: must be a list of strings, such as ["a", "b"], but is a string`},
		{`rejoin = ["rewind", "rebuild"]`, `rejoin = [1]`, `pair.toml:@: policy.rejoin: must be a list of strings, such as ["a", "b"], but is a list`},
		{`profile = "default"`, `profile = ["default"]`, `pair.toml:@: timings.profile: must be a string in quotes, but is a list`},
		{`"250ms"        # how often a sup`, `["250ms"]      # how often a sup`, `pair.toml:@: timings.heartbeat_interval: must be a string in quotes, but is a list`},
		{`# What both`, "arbiter = 5\n#", `pair.toml:@[arbiter]: Key 'arbiter' has already been defined.`},
		{`[postgres]`, `[[postgres]]`, `server.toml:@: postgres: must be a table, [postgres], but is a list of tables`},
		// Units.
		{`shutdown_timeout = "60s"`, `shutdown_timeout = 60`, `pair.toml:@: timings.shutdown_timeout: "60" is not a duration; write a number with its unit, such as "250ms" or "1m30s"`},
		{`shutdown_timeout = "60s"`, `shutdown_timeout = "0s"`, `pair.toml:@: timings.shutdown_timeout: is 0s; it must be at least 10ms`},
		{`shutdown_timeout = "60s"`, `shutdown_timeout = "-60s"`, `pair.toml:@: timings.shutdown_timeout: is -1m0s; it must be at least 10ms`},
		{`rebuild_command = []`, `rebuild_command = ["restore-standby", "--fast"]`, `pair.toml:@: policy.rebuild_command: "restore-standby" is not an absolute path; write where the program is on both servers, then its arguments`},
		{`attach_max_lag = "16MB"`, `attach_max_lag = "16mb"`, `pair.toml:@: policy.attach_max_lag: "16mb" is not a size; write a whole number with one of B, kB, MB, GB, TB, such as "16MB"`},
		{`attach_max_lag = "16MB"`, `attach_max_lag = 16`, `pair.toml:@: policy.attach_max_lag: "16" is not a size; write a whole number with one of B, kB, MB, GB, TB, such as "16MB"`},
		{`attach_max_lag = "16MB"`, `attach_max_lag = 0`, `pair.toml:@: policy.attach_max_lag: must be more than 0: a standby in use is always a little behind`},
	})
}

func TestRelations(t *testing.T) {
	wantEach(t, []edit{
		{`heartbeat_timeout = "2s"`, `heartbeat_timeout = "300ms"`, `pair.toml:@: timings.heartbeat_timeout (300ms) must be at least 3 x heartbeat_interval (250ms) = 750ms`},
		{`commit_stall_max = "2s"`, `commit_stall_max = "400ms"`, `pair.toml:@: timings.commit_stall_max (400ms) must be at least 2 x poll_interval (250ms) = 500ms`},
		{`probe_timeout = "2s" `, `probe_timeout = "900ms"`, `pair.toml:@: timings.probe_timeout (900ms) must be at least probe_interval (1s)`},
		{`io_probe_timeout = "5s"`, `io_probe_timeout = "0.5s"`, `pair.toml:@: timings.io_probe_timeout (500ms) must be at least io_probe_interval (1s)`},
		{`isolation_timeout = "5s"`, `isolation_timeout = "3s"`, `pair.toml:@: timings.isolation_timeout (3s) must be at least 2 x heartbeat_timeout (2s) = 4s`},
	})
}

func TestNamesAndChoices(t *testing.T) {
	wantEach(t, []edit{
		// Names.
		{`pair = "orders"`, `pair = "My Orders"`, `pair.toml:@: pair: "My Orders" is not a usable name; take 1 to 50 of a-z, 0-9, _ and -`},
		{`pair = "orders"`, `pair = ""`, `pair.toml:@: pair: must not be empty`},
		{`pair = "orders"`, ``, `pair.toml: pair: is missing; write it down`},
		{`[servers.server2]`, `[servers.server-2]`, `pair.toml:@: servers.server-2: "server-2" is not a usable name; take 1 to 50 of a-z, 0-9 and _`},
		{`[servers.server2]`, `[servers.first]`, `pair.toml:@: servers.first: "first" cannot stand in synchronous_standby_names, where it means something else; take another name`},
		{`[servers.server2]`, `[servers.2db]`, `pair.toml:@: servers.2db: "2db" cannot stand in synchronous_standby_names, where it means something else; take another name`},
		{`[servers.server2]`, `[servers.arbiter]`, `pair.toml:@: servers.arbiter: "arbiter" is not a server's name in a certificate, where it means something else; take another name`},
		{`[servers.server2]`, `[servers."server.2"]`, `pair.toml:@: servers."server.2": "server.2" is not a usable name; take 1 to 50 of a-z, 0-9 and _`},
		{`"server1"  `, `"server3"  `, `server.toml:@: server: "server3" is not in pair.toml, which has ["server1" "server2"]`},
		{"[arbiter]", "[servers.server3]\nadmin = \"c:1\"\nreplication = \"c:2\"\nclient = \"c:2\"\n[arbiter]", `pair.toml:@[servers.server1]: servers: a pair has exactly two servers, but 3 are here; write [servers.NAME] twice`},
		// Choices.
		{`profile = "default"`, `profile = "fast"`, `pair.toml:@: timings.profile: "fast" is not a profile; write "default" or "tight"`},
		{`kind = "witness"`, `kind = "judge"`, `pair.toml:@: arbiter.kind: "judge" is not a kind of arbiter; write "witness", "etcd", "command" or "none"`},
		{`kind = "witness"`, `kind = "none"`, `pair.toml:@address =: arbiter.address: kind is "none", which has no address; remove it or set kind = "witness"`},
		{`kind = "witness"`, ``, `pair.toml:@[arbiter]: arbiter.kind: is missing; write it down`},
		{`endpoints = []`, `endpoints = ["http://a:1"]`, `pair.toml:@: arbiter.etcd.endpoints: the kind of the arbiter is "witness"; remove them or set kind = "etcd"`},
		{`address = "192.0.3.120:27541"`, ``, `pair.toml:@[arbiter]: arbiter.address: is missing; write it down`},
		{`rejoin = ["rewind", "rebuild"]`, `rejoin = ["copy"]`, `pair.toml:@: policy.rejoin: "copy" is not a way to rejoin; write "rewind" or "rebuild"`},
		{`rejoin = ["rewind", "rebuild"]`, `rejoin = ["rewind", "rewind"]`, `pair.toml:@: policy.rejoin: "rewind" is here twice`},
		{`lost_wal = "save"`, `lost_wal = "keep"`, `pair.toml:@: policy.lost_wal: "keep" is none of "save", "require" and "report"`},
		{`lost_reports = 20`, `lost_reports = 0`, `pair.toml:@: policy.lost_reports: 0 is too few: keep at least 1`},
	})
}

func TestAddressesAndServer(t *testing.T) {
	wantEach(t, []edit{
		{`admin = "192.0.2.110:27540"`, `admin = "192.0.2.110"`, `pair.toml:@: servers.server2.admin: "192.0.2.110" is not an address; write host:port, such as "192.0.2.100:5432" or "[2001:db8::1]:5432"`},
		{`admin = "192.0.2.110:27540"`, `admin = "192.0.2.110:http"`, `pair.toml:@: servers.server2.admin: "192.0.2.110:http" has no usable port; write a number from 1 to 65535`},
		{`admin = "192.0.2.110:27540"`, `admin = "0.0.0.0:27540"`, `pair.toml:@: servers.server2.admin: "0.0.0.0:27540" names no host that others could connect to; write the address of one interface`},
		{`admin = "192.0.2.110:27540"`, `admin = "a b:27540"`, `pair.toml:@: servers.server2.admin: "a b:27540" has no usable host; write a name or an IP address`},
		{`admin = "192.0.2.110:27540"`, `admin = "192.0.2.100:27540"`, `pair.toml:@: servers.server2.admin: 192.0.2.100:27540 is servers.server1.admin already (the supervisor of server1); every service has its own address`},
		{`admin = "192.0.2.110:27540"`, `admin = "[::ffff:192.0.2.100]:5432"`, `pair.toml:@: servers.server2.admin: [::ffff:192.0.2.100]:5432 is servers.server1.replication already (PostgreSQL of server1); every service has its own address`},
		{`192.0.3.120:27541`, `192.0.2.110:27540`, `pair.toml:@: arbiter.address: 192.0.2.110:27540 is servers.server2.admin already (the supervisor of server2); every service has its own address`},
		{`bin_directory = "/usr/lib/postgresql/15/bin"`, ``, `server.toml: bin_directory: is missing; write it down`},
		{`port = 5432`, ``, `server.toml:@[postgres]: postgres.port: is missing; write it down`},
		{`port = 5432`, `port = 65536`, `server.toml:@: postgres.port: 65536 is not a port; write a number from 1 to 65535`},
		{`"/var/run/postgresql"`, `"/` + strings.Repeat("x", 100) + `"`, `server.toml:@: postgres.socket_directory: the socket's path would have 116 bytes, but a socket allows 107; choose a shorter directory`},
		{`options = ""`, `options = "sslmode=require  password = x"`, `server.toml:@: replication.options: must not hold a password; put it into the file that replication.passfile names`},
		{`options = ""`, `options = "sslrootcert='a\\' b=' port=5"`, `server.toml:@: replication.options: port is set by mcctl; remove it`},
		{`options = ""`, `options = "sslcert=a'b password=x sslkey=a'b"`, `server.toml:@: replication.options: must not hold a password; put it into the file that replication.passfile names`},
		{`options = ""`, `options = "sslcert=a\u000bpassword=x"`, `server.toml:@: replication.options: must not hold a password; put it into the file that replication.passfile names`},
		{`options = ""`, `options = "PassWord=x"`, `server.toml:@: replication.options: must not hold a password; put it into the file that replication.passfile names`},
		{`options = ""`, `options = "sslkey=a sslpassword = x"`, `server.toml:@: replication.options: must not hold sslpassword; take a key without a passphrase, of mode 0600`},
		{`options = ""`, `options = "oauth_client_secret=x"`, `server.toml:@: replication.options: must not hold oauth_client_secret; have the other server let the role in by a password or a certificate`},
		{`options = ""`, `options = "scram_client_key=x"`, `server.toml:@: replication.options: must not hold scram_client_key; put the password into the file that replication.passfile names`},
		{`options = ""`, `options = "scram_server_key=x"`, `server.toml:@: replication.options: must not hold scram_server_key; put the password into the file that replication.passfile names`},
		{`options = ""`, `options = "service=x"`, `server.toml:@: replication.options: service may lead to another server; write here what the service says beside host, port and user`},
		{`options = ""`, `options = "sslmode=require postgresql://u:x@h/d"`, `server.toml:@: replication.options: must be keywords of libpq with their values, such as "sslmode=verify-full sslrootcert='/my certs/ca.crt'"`},
		{`options = ""`, `options = "sslrootcert='/a"`, `server.toml:@: replication.options: must be keywords of libpq with their values, such as "sslmode=verify-full sslrootcert='/my certs/ca.crt'"`},
		{`key = "tls/server1.key"`, ``, `server.toml:@[tls]: tls.key: is missing; write it down`},
	})
}

func TestAllowed(t *testing.T) {
	for _, edit := range [][]string{
		{`options = ""`, `options = "sslmode=verify-full sslrootcert='my port=1'"`},
		{`options = ""`, `options = " sslmode= require options='-c work_mem=1MB'sslcert=/a\\ b/password=/c sslkey="`},
		{`rejoin = ["rewind", "rebuild"]`, `rejoin = []`},
		{`client = "192.0.2.110:5432"`, `client = "[2001:db8::2]:6432"`},
		{`client = "192.0.2.110:5432"`, `client = "db2.example.com:5432"`},
	} {
		wantProblems(t, "server1", edit)
	}
}

// All problems of both files are told at once, in the order of their lines.
func TestAllProblemsAtOnce(t *testing.T) {
	wantProblems(
		t, "server1", []string{
			`pair = "orders"`, `pair = ""`,
			`failover = true`, `failover = 1`,
			`kind = "witness"`, `knid = "witness"`,
			`port = 5432`, `port = 0`,
			`key = "tls/server1.key"`, `kye = "x"`,
		},
		`pair.toml:@: pair: must not be empty`,
		`pair.toml:@[arbiter]: arbiter.kind: is missing; write it down`,
		`pair.toml:@: arbiter.knid: is not a known key; did you mean kind?`,
		`pair.toml:@: policy.failover: must be true or false, but is a whole number`,
		`server.toml:@: postgres.port: 0 is not a port; write a number from 1 to 65535`,
		`server.toml:@[tls]: tls.key: is missing; write it down`,
		`server.toml:@: tls.kye: is not a known key; did you mean key?`,
	)
}

// A broken relation is told where the operator wrote one of its sides.
func TestRelationToAProfile(t *testing.T) {
	wantProblems(
		t, "server1", []string{`heartbeat_interval = "250ms"`, `heartbeat_interval = "700ms"`, `heartbeat_timeout = "2s"`, ``},
		`pair.toml:@heartbeat_interval =: timings.heartbeat_timeout (2s) must be at least 3 x heartbeat_interval (700ms) = 2.1s`,
	)
}

func TestArbiterProblems(t *testing.T) {
	wantProblems(
		t, "arbiter", []string{
			`listen = "0.0.0.0:27541"`, `listen = "27541"`,
			`heartbeat_timeout = "2s"`, `heartbeat_timeout = "2"`,
			`records = "records"`, `record = "records"`,
			`ca = "tls/ca.crt"`, ``,
		},
		`arbiter.toml:@: listen: "27541" is not an address; write host:port, such as "192.0.2.100:5432" or "[2001:db8::1]:5432"`,
		`arbiter.toml:@: record: is not a known key; did you mean records?`,
		`arbiter.toml:@[tls]: tls.ca: is missing; write it down`,
		`arbiter.toml:@: timings.heartbeat_timeout: "2" is not a duration; write a number with its unit, such as "250ms" or "1m30s"`,
	)
}

func TestProblemIsAValue(t *testing.T) {
	_, err := Load(copyExample(t, "server1", `port = 5432`, `port = 0`))
	var p Problem
	if !errors.As(err, &p) || p.Line == 0 || filepath.Base(p.Path) != ServerFile {
		t.Errorf("%v is no Problem with a line: %+v", err, p)
	}
}

func TestSecretsAreClosed(t *testing.T) {
	for mode, want := range map[os.FileMode][]string{
		0o600: nil,
		0o400: nil,
		0o640: {
			`replication.passfile: pgpass has mode 0640 and can be read by others; run: chmod 600 pgpass`,
			`tls.key: tls/server1.key has mode 0640 and can be read by others; run: chmod 600 tls/server1.key`,
		},
	} {
		dir := copyExample(t, "server1")
		err := os.Mkdir(filepath.Join(dir, "tls"), 0o700)
		for _, path := range []string{"tls/server1.key", "pgpass"} {
			path = filepath.Join(dir, path)
			err = errors.Join(err, os.WriteFile(path, nil, 0o600), os.Chmod(path, mode))
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = Load(dir)
		got := messages(dir, err)
		for i := range got {
			_, got[i], _ = strings.Cut(got[i], ": ")
		}
		if !slices.Equal(got, want) {
			t.Errorf("mode %v: got %q, want %q", mode, got, want)
		}
	}
}
