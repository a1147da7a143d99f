package act

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/pkg/board"
	"mcctl/pkg/majors"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// siteFiles writes files beside the site's pg_hba.conf, or over it.
func siteFiles(t *testing.T, h *Hands, files map[string]string) {
	t.Helper()
	for name, text := range files {
		ok(t, os.WriteFile(filepath.Join(filepath.Dir(h.Config.Server.HBAFile), name), []byte(text), 0o600))
	}
}

// behindTheGate starts behind the gate that a site's files make.
func behindTheGate(t *testing.T, files map[string]string) *Hands {
	t.Helper()
	h, _ := newHands(t, copyOf(3, 8, pair.Alone))
	siteFiles(t, h, files)
	ok(t, h.StartGated(within(t)))
	look(h)
	h.Board.Set(func(s *board.Sight) { s.Gated = true })
	if err := client(t, h); postgres.Refusal(err) == "" {
		t.Errorf("a client behind the gate: %v", err)
	}
	return h
}

// hbaInForce is the text of the file that PostgreSQL goes by.
func hbaInForce(t *testing.T, h *Hands) string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strings.Fields(content(t, filepath.Join(server(h).Data, "postmaster.pid")))[0] + "/cmdline")
	ok(t, err)
	for _, arg := range strings.Split(string(b), "\x00") {
		if path, is := strings.CutPrefix(arg, "hba_file="); is {
			return content(t, path)
		}
	}
	t.Fatal("started without hba_file")
	return ""
}

// Lines for other users and databases come first in many a site's file.
func TestTheGateTakesTheSitesMethodForTheSupervisor(t *testing.T) {
	sites := map[string]string{
		"a password for others": "local all app scram-sha-256\nlocal all postgres trust\n",
		"another is rejected":   "local all app reject\nlocal all postgres trust\n",
		"a map for another":     "local all app peer map=none\nlocal all postgres trust\n",
		"another database":      "local app all reject\nlocal all postgres trust\n",
		"a group":               "local all +pg_monitor reject\nlocal all postgres trust\n",
		"names from a file":     "local all @admins trust\n",
	}
	if majors.Of(major(t)).HBAContinued {
		sites["a continued line"] = "local all \\\n  app reject\nlocal all \\\n  postgres \\\n  trust\n"
	}
	for name, hba := range sites {
		t.Run(name, func(t *testing.T) {
			h := behindTheGate(t, map[string]string{"pg_hba.conf": hba, "admins": "joe\npostgres\n"})
			ok(t, h.OpenGate(within(t)))
			ok(t, server(h).Knock(within(t)))
		})
	}
}

func TestTheGateGivesNobodyTheSupervisorsName(t *testing.T) {
	h := behindTheGate(t, map[string]string{
		"pg_hba.conf":   "local all postgres peer map=own\nlocal app app trust\n",
		"pg_ident.conf": "own /^.*$ postgres\n",
	})
	if text := hbaInForce(t, h); strings.Contains(text, "trust") {
		t.Errorf("the line of another user became the supervisor's:\n%s", text)
	}
}

// What a file names beside itself or above PostgreSQL looks for where hba_file says that
// it lies.
func TestTheGateOpensOntoRelativeNames(t *testing.T) {
	for _, name := range []string{"clients", "base/../clients", "../d/clients"} {
		h := behindTheGate(t, map[string]string{"pg_hba.conf": "local all postgres trust\nlocal all @" + name + " trust\n", "clients": "app\n"})
		ok(t, h.OpenGate(within(t)))
		if err := client(t, h); err != nil {
			t.Errorf("@%s: %v", name, err)
		}
	}
}

func TestABadLineKeepsTheGateClosedAndIsTold(t *testing.T) {
	const good = "local all all trust\n"
	for bad, told := range map[string]string{
		good + "host nonsense\n":            "/pg_hba.conf:2: end-of-line before role specification",
		"# nobody\n":                        "/pg_hba.conf:1: it has no rule",
		good + "local all @missing trust\n": "/pg_hba.conf:2: could not open ",
	} {
		h := behindTheGate(t, map[string]string{"pg_hba.conf": good})
		siteFiles(t, h, map[string]string{"pg_hba.conf": bad})
		pid := h.Board.Read().PID
		for range 2 {
			fails(t, h.OpenGate(within(t)), "open the gate", " "+filepath.Dir(h.Config.Server.HBAFile)+told)
			if !h.Board.Read().Gated || !h.Gated(pid) {
				t.Error("the gate counts as open")
			}
			fails(t, client(t, h), "pg_hba.conf")
		}
		siteFiles(t, h, map[string]string{"pg_hba.conf": good})
		ok(t, h.OpenGate(within(t)))
		ok(t, client(t, h))
		if h.Board.Read().Gated || h.Gated(pid) {
			t.Error("the gate counts as closed")
		}
	}
}

// Killed after it had turned the link: the next supervisor must not take the gate for open.
func TestAGateThatWasTurnedIsNotOpen(t *testing.T) {
	h := behindTheGate(t, map[string]string{"pg_hba.conf": "local all all trust\n"})
	ok(t, h.site().TurnGate())
	if !h.Gated(h.Board.Read().PID) {
		t.Error("PostgreSQL has not read the site's file, and the gate counts as open")
	}
	fails(t, client(t, h), "pg_hba.conf")
	ok(t, h.OpenGate(within(t)))
	ok(t, client(t, h))
}

// Nobody could ever open that gate, and the standby can serve.
func TestAGatedStartThatLocksTheSupervisorOutIsStopped(t *testing.T) {
	for hba, told := range map[string]string{
		"# ours\nlocal all postgres reject\nlocal all all trust\n": "pg_hba.conf:2",
		"local all app trust\n": "pg_hba.conf lets the supervisor in",
	} {
		h, _ := newHands(t, copyOf(3, 8, pair.Paired))
		siteFiles(t, h, map[string]string{"pg_hba.conf": hba})
		for n := 1; n <= 2; n++ {
			fails(t, h.StartGated(within(t)), told)
			if pid, running := h.Postgres.Postmaster(); running {
				t.Errorf("it still runs as %d", pid)
			}
			if got := h.Board.Read().StartsFailed; got != n {
				t.Errorf("%d starts count as failed, not %d", got, n)
			}
		}
		siteFiles(t, h, map[string]string{"pg_hba.conf": "local all all trust\n"})
		ok(t, h.StartGated(within(t)))
	}
}

// From 16 on the lines may stand in other files.
func TestTheGateFollowsIncludedFiles(t *testing.T) {
	if !majors.Of(major(t)).HBAIncludes {
		return // pg_hba.conf includes no files there
	}
	h := behindTheGate(t, map[string]string{
		"pg_hba.conf": "local all /^ap reject\ninclude own.conf\ninclude_if_exists none.conf\n",
		"own.conf":    "local all app reject\nlocal all postgres trust\nhost replication @repl 192.0.2.2/32 trust\n", "repl": "mirror\n",
	})
	if text := hbaInForce(t, h); !strings.Contains(text, "host replication mirror 192.0.2.2/32 trust\n") {
		t.Errorf("replication is not let in:\n%s", text)
	}
	siteFiles(t, h, map[string]string{"own.conf": "\nlocal nonsense\n"})
	fails(t, h.OpenGate(within(t)), " "+filepath.Dir(h.Config.Server.HBAFile)+"/own.conf:2: ")
	siteFiles(t, h, map[string]string{"own.conf": "local all all trust\n", "pg_hba.conf": "include own.conf\n"})
	ok(t, h.OpenGate(within(t)))
	ok(t, client(t, h))
}

// The standby can serve, and a start without the gate would have failed too. The first
// time somebody may just have been saving the file.
func TestAGateThatCannotOpenGivesWayToTheStandby(t *testing.T) {
	for _, canTakeOver := range []bool{true, false} {
		h := behindTheGate(t, map[string]string{"pg_hba.conf": "local all all trust\n"})
		h.Board.Set(func(s *board.Sight) { s.Record, s.Report.Failover = copyOf(3, 8, pair.Paired), canTakeOver })
		s := h.Board.Read()
		for n := 1; n <= 3; n++ {
			ok(t, h.giveWay(within(t), s, errKeptOut))
			if _, running := h.Postgres.Postmaster(); running != (n < 2 || !canTakeOver) {
				t.Errorf("the other can take over: %v; failure %d: it runs: %v", canTakeOver, n, running)
			}
		}
		ok(t, h.giveWay(within(t), s, errPlanned))
	}
}
