package cli

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

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
	aside := filepath.Join(dir, "aside")
	for _, d := range []string{aside, aside + ".old"} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(aside, "PG_VERSION"), "15\n")
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
		{initFlags(fresh, aside), exitRefused, "mcctl: init: use data directory " + aside + ": " + aside + ".old is there: by that name mcctl keeps what it deletes when that has served; move it away, or name another directory\n"},
		{initFlags(fresh, running), exitFailed, "mcctl: init: take over data directory " + running + ": no PostgreSQL of this user is running in " + running + "; start it, or run mcctl init as the user who runs it\n"},
		{initFlags(fresh, data, "--other-admin", "127.0.0.1:1"), exitUsage, "servers.server2.admin: 127.0.0.1:1 is servers.server1.admin already (the supervisor of server1); every service has its own address\n"},
		{initFlags(fresh, data, "--name", "Server 1"), exitUsage, "\"Server 1\" is not a usable name"},
		{initFlags(fresh, data, "--arbiter-endpoints", "http://a:1"), exitUsage, "mcctl: init: --arbiter-endpoints is for etcd, not for none\n"},
		{initFlags(fresh, data, "--arbiter-kind", "none"), exitUsage, "mcctl: init: --arbiter-kind and --no-arbiter exclude each other\n"},
		{[]string{"init", "-M", fresh, "--arbiter-kind", "etcd"}, exitUsage, "--other-replication, --arbiter-endpoints, --data-directory\n"},
		{[]string{"init", "-M", fresh, "--arbiter-fencing-delay", "5s"}, exitUsage, "--other-replication, --arbitration-command, --fencing-command, --data-directory\n"},
		{[]string{"init", "-M", fresh, "--arbitration-command", "x", "--arbiter-ca", "y"}, exitUsage, "mcctl: init: --arbitration-command is for command, not for etcd\n"},
		{[]string{"init", "-M", fresh, "--join-file", token, "--data-directory", data}, exitUsage, "mcctl: init: this is no token: it is one line that begins with mcctl-join-1., as mcctl init --serve-token prints it\n"},
		{[]string{"init", "-M", fresh, "--join", "--join-file", token}, exitUsage, "mcctl: init: --join and --join-file exclude each other\n"},
		{[]string{"init", "-M", fresh, "--join", "--data-directory", data}, exitUsage, "this is no token"},
		{[]string{"init", "-M", fresh, "--arbiter"}, exitUsage, "mcctl: init: an arbiter's certificate is signed by the authority of its pairs"},
		{[]string{"init", "-M", fresh, "--serve-token"}, exitFailed, "is not the complete management directory of a server of a pair"},
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

// asked is the plan that these answers on a terminal make, and what was asked.
func asked(t *testing.T, plan setup.Plan, answers ...string) (setup.Plan, string) {
	t.Helper()
	var out, complaints bytes.Buffer
	env := testEnv(&out, &complaints)
	env.Asking = true
	env.Stdin = strings.NewReader(strings.Join(append(answers, ""), "\n"))
	a := newAsker(env, &initOptions{Plan: plan})
	if err := a.answers(t.Context(), setup.First); err != nil {
		t.Fatalf("%v; asked:\n%s", err, &out)
	}
	if rest, _ := io.ReadAll(a.in); len(rest) > 0 {
		t.Errorf("%q was not asked for:\n%s", rest, &out)
	}
	return a.o.Plan, out.String()
}

func TestInitAsksForWhatIsMissing(t *testing.T) {
	got, out := asked(t, setup.Plan{}, "orders", "", "192.0.2.1:27540", "", "", "", "192.0.2.2:27540", "", "quorum", "none", "/data")
	want := setup.Plan{
		Pair: "orders", Name: "server1", Admin: "192.0.2.1:27540", Replication: "192.0.2.1:5432", Other: "server2",
		OtherAdmin: "192.0.2.2:27540", OtherReplication: "192.0.2.2:5432", ArbiterKind: "none", DataDirectory: "/data",
	}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if !strings.Contains(out, "host:port of this server's PostgreSQL [192.0.2.1:5432]: ") {
		t.Errorf("asked:\n%s", out)
	}
}

// An answer that cannot be is asked for again, with what is wrong with it.
func TestInitAsksAgainForWhatCannotBe(t *testing.T) {
	got, out := asked(t, setup.Plan{}, "Orders!", "orders", "first", "", "server1", "192.0.2.1:27540", "192.0.2.1:http", "", "Two", "", "192.0.2.2", "192.0.2.2:27540", "", "none", "/data")
	if got.Pair != "orders" || got.Name != "server1" || got.Admin != "192.0.2.1:27540" || got.OtherAdmin != "192.0.2.2:27540" {
		t.Errorf("got %+v", got)
	}
	for _, wrong := range []string{
		`"Orders!" is not a usable name`, `"first" cannot stand in synchronous_standby_names`, `"server1" is not an address`,
		`"192.0.2.1:http" has no usable port`, `"Two" is not a usable name`, `"192.0.2.2" is not an address`,
	} {
		if !strings.Contains(out, wrong) {
			t.Errorf("nothing is said of %s:\n%s", wrong, out)
		}
	}
}

// What is asked for an arbiter is what its kind needs, and what the flags do not say.
func TestInitAsksForAnArbiter(t *testing.T) {
	rest := setup.Plan{
		Pair: "p", Name: "a", Admin: "h:1", Replication: "h:2", Other: "b", OtherAdmin: "i:1", OtherReplication: "i:2", DataDirectory: "/data",
	}
	for _, c := range []struct {
		flags, answers []string // flags: name, value, ...
		want           map[string]string
	}{
		{nil, []string{"", "h:3"}, map[string]string{"arbiter-kind": "witness", "arbiter-address": "h:3"}},
		{[]string{"arbiter-address", "h:3"}, nil, nil},
		{nil, []string{"command", "/a", "", "/f"}, map[string]string{"arbiter-kind": "command", "arbitration-command": "/a", "fencing-command": "/f"}},
		{nil, []string{"etcd", "http://h:4", ""}, map[string]string{"arbiter-kind": "etcd", "arbiter-endpoints": "http://h:4"}},
		{
			nil,
			[]string{"etcd", "https://h:4,https://i:4", "tls/ca", "tls/crt", "tls/key", "mcctl", "pw"},
			map[string]string{
				"arbiter-kind": "etcd", "arbiter-endpoints": "https://h:4,https://i:4", "arbiter-ca": "tls/ca", "arbiter-cert": "tls/crt", "arbiter-key": "tls/key",
				"arbiter-user": "mcctl", "arbiter-password-file": "pw",
			},
		},
		{[]string{"arbiter-kind", "etcd", "arbiter-user", "mcctl"}, []string{"https://h:4", "ca", "", "pw"}, map[string]string{"arbiter-endpoints": "https://h:4", "arbiter-ca": "ca", "arbiter-password-file": "pw"}},
		{[]string{"arbiter-kind", "etcd", "arbiter-endpoints", "https://h:4"}, nil, nil},
	} {
		plan := rest
		for i := 0; i < len(c.flags); i += 2 {
			*plan.Answer(c.flags[i]) = c.flags[i+1]
		}
		want := plan
		for flag, answer := range c.want {
			*want.Answer(flag) = answer
		}
		if got, out := asked(t, plan, c.answers...); got != want && len(c.answers) > 0 || len(c.answers) == 0 && out != "" {
			t.Errorf("%v, %v: got %+v\nwant %+v\nasked:\n%s", c.flags, c.answers, got, want, out)
		}
	}
}

// The flags of mcctl arbiter move are those of mcctl init, and mean the same.
func TestInitNamesAnArbiterAsMoveDoes(t *testing.T) {
	move, first := newArbiterMove(&Env{}, nil), newInit(&Env{}, nil)
	n := 0
	move.Flags().VisitAll(func(f *pflag.Flag) {
		if kind, _, _ := strings.Cut(f.Usage, ": "); !isArbiterKind(kind) {
			return
		}
		n++
		if other := first.Flags().Lookup("arbiter-" + f.Name); other == nil || other.Usage != f.Usage || other.Value.Type() != f.Value.Type() {
			t.Errorf("--%s: init has %+v", f.Name, other)
		}
	})
	if n != 9 {
		t.Errorf("move has %d such flags", n)
	}
}

// An empty answer takes an earlier one back; none at all leaves it.
func TestInitTakesTheLayoutBack(t *testing.T) {
	for _, given := range []bool{false, true} {
		var plan setup.Plan
		cmd := newInit(&Env{}, func(_ context.Context, _ *Env, o *initOptions) error {
			err := o.settle(setup.Second)
			plan = o.Plan
			return err
		})
		args := []string{"-M", t.TempDir(), "--join"}
		if given {
			args = append(args, "--waldir=", "--tablespace-mapping=")
		}
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); err != nil || plan.NoWAL != given || plan.NoMapping != given {
			t.Errorf("given %t: %+v, %v", given, plan, err)
		}
	}
}

// A yes to the edits is none to a restart.
func TestInitAgreesToEachForItself(t *testing.T) {
	var out, complaints bytes.Buffer
	for about, o := range map[string]*initOptions{setup.ForEdit: {Yes: true}, setup.ForRestart: {Restart: true}} {
		a := newAsker(testEnv(&out, &complaints), o)
		for _, asked := range []string{setup.ForEdit, setup.ForRestart} {
			if agreed, err := a.agree(t.Context(), asked, ""); agreed != (asked == about) || err != nil {
				t.Errorf("%+v: asked for %s: %t, %v", o, asked, agreed, err)
			}
		}
	}
}
