package cli

import (
	"bufio"
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/pkg/setup"
)

// initFlags are complete and right, but for the directories.
func initFlags(mcdir, data string, more ...string) []string {
	return append([]string{
		"init", "-M", mcdir, "--pair", "p", "--name", "server1", "--admin", "127.0.0.1:1", "--replication", "127.0.0.1:2",
		"--other-name", "server2", "--other-admin", "127.0.0.2:1", "--other-replication", "127.0.0.2:2", "--no-arbiter", "--data-directory", data,
	}, more...)
}

// everything is all names and contents below a directory.
func everything(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		b.WriteString(path + "\n")
		if d.Type().IsRegular() {
			text, err := os.ReadFile(path)
			b.Write(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestInitRefuses(t *testing.T) {
	dir := t.TempDir()
	fresh, full, other, running := filepath.Join(dir, "fresh"), filepath.Join(dir, "full"), filepath.Join(dir, "other"), filepath.Join(dir, "running")
	for _, d := range []string{full, other, running} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(d, "something"), "")
	}
	write(t, filepath.Join(running, "PG_VERSION"), "15\n")
	token := filepath.Join(dir, "token")
	write(t, token, "no token\n")
	data := filepath.Join(dir, "data")
	before := everything(t, dir)
	for _, c := range []struct {
		args   []string
		status exitStatus
		want   string
	}{
		{[]string{"init"}, exitUsage, "mcctl: no management directory was named\n"},
		{
			[]string{"init", "-M", fresh, "--pair", "p"},
			exitUsage,
			"mcctl: init: these flags are missing: --name, --admin, --replication, --other-name, --other-admin, --other-replication, --arbiter-address, --data-directory\n",
		},
		{initFlags(full, data), exitRefused, "mcctl: init: use " + full + ": it is not empty and not an unfinished work of mcctl init; name an empty or a new directory\n"},
		{initFlags(fresh, other), exitFailed, "mcctl: init: use data directory " + other + ": it is neither empty nor PostgreSQL's; name another one\n"},
		{initFlags(fresh, running), exitFailed, "mcctl: init: take over data directory " + running + ": no PostgreSQL of this user is running in " + running + "; start it, or run mcctl init as the user who runs it\n"},
		{initFlags(fresh, data, "--other-admin", "127.0.0.1:1"), exitUsage, "servers.server2.admin: 127.0.0.1:1 is servers.server1.admin already (the supervisor of server1); every service has its own address\n"},
		{initFlags(fresh, data, "--name", "Server 1"), exitUsage, "\"Server 1\" is not a usable name"},
		{[]string{"init", "-M", fresh, "--join-file", token, "--data-directory", data}, exitUsage, "mcctl: init: this is no token: it is one line that begins with mcctl-join-1., as mcctl init --serve-token prints it\n"},
		{[]string{"init", "-M", fresh, "--join", "--join-file", token}, exitUsage, "mcctl: init: --join and --join-file exclude each other\n"},
		{[]string{"init", "-M", fresh, "--join", "--data-directory", data}, exitUsage, "this is no token"},
		{[]string{"init", "-M", fresh, "--arbiter"}, exitUsage, "mcctl: init: an arbiter's certificate is signed by the authority of its pairs"},
		{[]string{"init", "-M", fresh, "--serve-token"}, exitFailed, "is not the complete management directory of a pair's first server"},
	} {
		mcctl(t.Context(), c.args...).wants(t, c.status, c.want)
		if after := everything(t, dir); after != before {
			t.Fatalf("mcctl %s changed something:\n%s", strings.Join(c.args, " "), after)
		}
	}
}

func TestInitRefusesRoot(t *testing.T) {
	var out, complaints bytes.Buffer
	env := testEnv(&out, &complaints)
	env.Euid = func() int { return 0 }
	dir := filepath.Join(t.TempDir(), "mc")
	status := Main(context.Background(), env, initFlags(dir, dir))
	shot{exitStatus(status), out.String(), complaints.String()}.wants(t, exitRefused, "mcctl: init: refused as root", "hint: runuser -u postgres -- mcctl init")
}

func TestInitAsksForWhatIsMissing(t *testing.T) {
	var out, complaints bytes.Buffer
	env := testEnv(&out, &complaints)
	env.Asking = true
	answers := "orders\n\n192.0.2.1:27540\n\n\n\n192.0.2.2:27540\n\nnone\n/data\n"
	a := &asker{env: env, in: bufio.NewReader(strings.NewReader(answers)), o: &initOptions{}}
	if err := a.answers(setup.First); err != nil {
		t.Fatal(err)
	}
	want := setup.Plan{
		Pair: "orders", Name: "server1", Admin: "192.0.2.1:27540", Replication: "192.0.2.1:5432", Other: "server2",
		OtherAdmin: "192.0.2.2:27540", OtherReplication: "192.0.2.2:5432", NoArbiter: true, DataDirectory: "/data",
	}
	if a.o.Plan != want {
		t.Errorf("got %+v\nwant %+v", a.o.Plan, want)
	}
	if !strings.Contains(out.String(), "host:port of this server's PostgreSQL [192.0.2.1:5432]: ") {
		t.Errorf("asked:\n%s", &out)
	}
}

// A yes to the edits is none to a restart.
func TestInitAgreesToEachForItself(t *testing.T) {
	var out, complaints bytes.Buffer
	for about, o := range map[string]*initOptions{setup.ForEdit: {Yes: true}, setup.ForRestart: {Restart: true}} {
		a := &asker{env: testEnv(&out, &complaints), o: o}
		for _, asked := range []string{setup.ForEdit, setup.ForRestart} {
			if a.agree(asked, "") != (asked == about) {
				t.Errorf("%+v: asked for %s", o, asked)
			}
		}
	}
}
