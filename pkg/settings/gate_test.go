package settings

import (
	"slices"
	"strings"
	"testing"

	"mcctl/pkg/pgconf"
)

// gate is the gate of a site's file: its lines, and which of them are the supervisor's.
func gate(t *testing.T, m memory, major int) (text string, own []string) {
	t.Helper()
	lines, err := pgconf.ReadHBA(m, "/etc/pg_hba.conf", major)
	if err != nil {
		t.Fatal(err)
	}
	g := GateHBA("postgres", "postgres", lines, major)
	for l := range strings.Lines(string(g.Text)) {
		if !strings.HasPrefix(l, "#") {
			text += l
		}
	}
	return text, g.Own
}

func TestGateLetsOnlySupervisorAndReplicationIn(t *testing.T) {
	got, own := gate(t, memory{"/etc/pg_hba.conf": `# comment
local   app  "app user"     scram-sha-256
local   all  app,all        peer map=site	# of ours
local   all  postgres       reject
host    all  all  10.0.0.0/8  scram-sha-256
host    replication  repl  10.0.0.2/32  scram-sha-256
hostssl all,replication  @who  10.0.0.0 255.0.0.0  ldap ldapprefix="cn=a, "
host    "replication"  all  10.0.0.0/8  trust
local   replication  all  peer
local   nonsense
`, "/etc/who": "repl # one\n\"other one\"\n"}, 15)
	want := `local "postgres" "postgres" peer map=site
host replication repl 10.0.0.2/32 scram-sha-256
hostssl replication repl,"other one" 10.0.0.0 255.0.0.0 ldap l"dapprefix=cn=a, "
local replication all peer
`
	if got != want {
		t.Errorf("gate:\n%s\nwant:\n%s", got, want)
	}
	if want := []string{"/etc/pg_hba.conf:3"}; !slices.Equal(own, want) {
		t.Errorf("the supervisor's lines: %v, want %v", own, want)
	}
}

// PostgreSQL goes by the first line that matches. So the gate has the first that surely
// means the supervisor and those before it that may, and none for anybody else.
func TestGateHasTheSupervisorsLinesAlone(t *testing.T) {
	for _, c := range []struct{ site, want string }{
		{"local all app scram-sha-256\nlocal all all peer", `local "postgres" "postgres" peer`},
		{"local app app trust\nlocal all postgres peer", `local "postgres" "postgres" peer`},
		{"local app all reject\nlocal postgres all peer", `local "postgres" "postgres" peer`},
		{`local all "all" reject` + "\n" + `local "all" all reject` + "\nlocal all all peer", `local "postgres" "postgres" peer`},
		{"local sameuser all peer", `local "postgres" "postgres" peer`},
		{"local all app,+ops trust\nlocal all all peer\nlocal all all trust", `local "postgres" +ops trust` + "\n" + `local "postgres" "postgres" peer`},
		{`local all "+ops" trust` + "\nlocal all all peer", `local "postgres" "postgres" peer`},
		{"local app,samerole all md5\nlocal all all peer", `local samerole "postgres" md5` + "\n" + `local "postgres" "postgres" peer`},
		{"local all @admins peer\nlocal all all reject", `local "postgres" "postgres" peer`},
		{"local all @/srv/none peer", ""},
		{"local replication all peer", "local replication all peer"},
		{"local all \\\n  app \\\n  reject\nlocal all \\\n all peer", `local "postgres" "postgres" peer`},
	} {
		got, _ := gate(t, memory{"/etc/pg_hba.conf": c.site + "\n", "/etc/admins": "joe, postgres\n"}, 15)
		if got = strings.TrimSuffix(got, "\n"); got != c.want {
			t.Errorf("%q:\n%s\nwant:\n%s", c.site, got, c.want)
		}
	}
}

func TestGateKnowsWhatIsNewIn14And16(t *testing.T) {
	m := memory{
		"/etc/pg_hba.conf": "local all /^p reject\ninclude repl.conf\ninclude_if_exists none\nlocal all all \\\npeer\n",
		"/etc/repl.conf":   "host replication @names 10.0.0.2/32 trust\n",
		"/etc/names":       "repl\n",
	}
	for major, want := range map[int]string{
		13: `local "postgres" "postgres" \` + "\n",
		15: `local "postgres" "postgres" peer` + "\n",
		16: `local "postgres" /^p reject` + "\nhost replication repl 10.0.0.2/32 trust\n" + `local "postgres" "postgres" peer` + "\n",
	} {
		if got, _ := gate(t, m, major); got != want {
			t.Errorf("%d:\n%s\nwant:\n%s", major, got, want)
		}
	}
}
