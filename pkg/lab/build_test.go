package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// labDir is a directory with a path short enough for unix sockets.
func labDir(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Fatal("PostgreSQL does not run as root; run the tests with: make test PKG=./pkg/lab")
	}
	dir, err := os.MkdirTemp("", "mc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "lab")
}

// someProgram stands where a test needs no mcctl to be run.
func someProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// buildOptions are those of every call for one lab: others would be refused.
func buildOptions(dir, mcctl string) Options {
	return Options{Dir: dir, Mcctl: mcctl, Settings: map[string]string{"work_mem": "5MB"}}
}

// built is a lab with all its directories but nothing running.
func built(t *testing.T, dir string) *Lab {
	t.Helper()
	l, unlock, err := prepare(t.Context(), buildOptions(dir, someProgram(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := l.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// postgres starts a server of the lab, as its supervisor would, until the test ends.
func postgres(t *testing.T, l *Lab, s pair.Server, settings ...string) {
	t.Helper()
	args := []string{"-D", l.Data(s)}
	for _, kv := range settings {
		args = append(args, "-c", kv)
	}
	if err := l.makeSocketDir(s); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(l.Mcdir(s), "log", "postgresql.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := l.run.command(context.Background(), l.Dir, l.program("postgres"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("%s said:\n%s", s, said)
		}
	})
	eventually(t, string(s)+" accepts connections", func() bool {
		return exec.Command(l.program("pg_isready"), "-q", "-h", l.socketDir(s), "-p", portOf(l, s)).Run() == nil
	})
}

func portOf(l *Lab, s pair.Server) string { return l.settings(s)["port"] }

func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !true(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not seen within 30 s: %s", what)
		}
	}
}

// ask runs one statement with psql.
func ask(t *testing.T, l *Lab, conninfo, sql string) (string, error) {
	t.Helper()
	cmd := l.run.command(t.Context(), l.Dir, l.program("psql"), "-XAtw", "-d", conninfo, "-c", sql)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func mustAsk(t *testing.T, l *Lab, conninfo, sql string) string {
	t.Helper()
	out, err := ask(t, l, conninfo, sql)
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return out
}

func socketInfo(l *Lab, s pair.Server) string {
	return "host=" + l.socketDir(s) + " port=" + portOf(l, s) + " user=postgres dbname=postgres"
}

func replicationInfo(l *Lab, from pair.Server) string {
	return "host=127.0.0.1 port=" + portOf(l, from) + " user=" + replicationRole + " dbname=postgres passfile=" +
		filepath.Join(l.Mcdir(other(from)), "pgpass")
}

func TestBuiltServersReplicate(t *testing.T) {
	l := built(t, labDir(t))
	postgres(t, l, Server1)
	conninfo := strings.Replace(replicationInfo(l, Server1), "dbname=postgres ", "", 1)
	postgres(t, l, Server2, "primary_conninfo="+conninfo)

	mustAsk(t, l, l.Env()["PGURI"], "create table t(x int); insert into t values (7)")
	eventually(t, "the row on server2", func() bool {
		got, _ := ask(t, l, strings.Replace(socketInfo(l, Server2), "dbname=postgres", "dbname=app", 1), "select x from t")
		return got == "7"
	})
	// cluster_name makes the standby known by its server's name even so.
	if got := mustAsk(t, l, socketInfo(l, Server1), "select application_name from pg_stat_replication"); got != "server2" {
		t.Errorf("the standby calls itself %q", got)
	}
	for name, want := range map[string]string{"work_mem": "5MB", "data_checksums": "on", "wal_log_hints": "on", "synchronous_standby_names": ""} {
		if got := mustAsk(t, l, socketInfo(l, Server1), "show "+name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	p := l.Pids()
	if one := p.Servers[Server1]; one.Postmaster == 0 || one.Walsender == 0 || one.Walreceiver != 0 || one.Supervisor != 0 {
		t.Errorf("processes of server1: %+v", one)
	}
	if two := p.Servers[Server2]; two.Postmaster == 0 || two.Walreceiver == 0 || two.Walsender != 0 {
		t.Errorf("processes of server2: %+v", two)
	}
}

func TestManagementDirectoriesAreValid(t *testing.T) {
	l := built(t, labDir(t))
	for _, s := range servers() {
		c, err := config.Load(l.Mcdir(s))
		if err != nil {
			t.Errorf("%s: %v", s, err)
		} else if c.Me() != s {
			t.Errorf("%s calls itself %s", s, c.Me())
		}
	}
	if _, err := config.LoadArbiter(l.ArbiterDir()); err != nil {
		t.Error(err)
	}
}

func TestReplicationRoleMayRewindAndNoMore(t *testing.T) {
	l := built(t, labDir(t))
	postgres(t, l, Server1)
	from := replicationInfo(l, Server1)
	for _, call := range []string{
		"select count(*) > 0 from pg_ls_dir('.', true, false)",
		"select size > 0 from pg_stat_file('global/pg_control', false)",
		"select length(pg_read_binary_file('PG_VERSION')) > 0",
		"select length(pg_read_binary_file('global/pg_control', 0, 100, false)) = 100",
	} {
		if got := mustAsk(t, l, from, call); got != "t" {
			t.Errorf("%s: %s", call, got)
		}
	}
	if got, err := ask(t, l, from, "create role x superuser"); err == nil {
		t.Errorf("the replication role could make a superuser: %s", got)
	}
	if got, err := ask(t, l, "host=127.0.0.1 user=postgres dbname=postgres port="+portOf(l, Server1), "select 1"); err == nil {
		t.Errorf("the superuser came in over TCP without a password: %s", got)
	}
}

func TestBuildLeavesNoSecretAndTheFirstRecord(t *testing.T) {
	l := built(t, labDir(t))
	var r record.Record
	if err := durable.ReadJSON(filepath.Join(l.Mcdir(Server1), "record.json"), &r); err != nil {
		t.Fatal(err)
	}
	if want := record.First(PairName, Server1); r != want {
		t.Errorf("the record is %v, want %v", r, want)
	}
	conf, err := os.ReadFile(filepath.Join(l.Data(Server1), "postgresql.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "\n#synchronous_standby_names = 'server2'"; !strings.Contains(string(conf), want) {
		t.Errorf("postgresql.conf lacks the line %q", want)
	}
	secret := strings.Split(readFile(t, l.path("pgpass")), ":")[4]
	secret, _, _ = strings.Cut(secret, "\n")
	err = filepath.WalkDir(l.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && d.Name() != "lab.json" && !strings.HasSuffix(path, ".crt") {
			t.Errorf("%s can be read by others: %s", path, info.Mode())
		}
		if d.Name() != "pgpass" && strings.Contains(readFile(t, path), secret) {
			t.Errorf("%s holds a password", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBuildStartsOverAfterAKill(t *testing.T) {
	dir := labDir(t)
	for _, half := range []string{"server1/data/PG_VERSION", "server2/data/base/1/1", "ca/ca.key", "server1/mcdir/record.json"} {
		l, unlock, err := prepare(t.Context(), buildOptions(dir, someProgram(t)))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(l.path(half)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(l.path(half), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		unlock()
	}
	l := built(t, dir)
	postgres(t, l, Server1)
	if err := Down(t.Context(), dir, true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	if err := Down(t.Context(), dir, true); err != nil {
		t.Errorf("down a second time: %v", err)
	}
}

func TestDownStopsFrozenServersAndKeepsTheRest(t *testing.T) {
	dir := labDir(t)
	l := built(t, dir)
	postgres(t, l, Server1)
	if err := syscall.Kill(l.Pids().Servers[Server1].Postmaster, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), dir, false); err != nil {
		t.Fatal(err)
	}
	if pid := l.Pids().Servers[Server1].Postmaster; pid != 0 {
		t.Errorf("postmaster %d still runs", pid)
	}
	if err := Down(t.Context(), dir, true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(own); err != nil {
		t.Errorf("the user's own file is gone: %v", err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
