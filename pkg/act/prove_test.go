package act

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// A reload is not believed: what keeps it from being in force is told, with its place,
// and when that is mended the next try succeeds.
func TestAReloadThatPostgresRefusesIsAnErrorWithItsPlace(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Paired))
	started(t, h)
	conf := h.Config.Server.ConfigFile
	ok(t, h.PutRight(within(t)))
	ok(t, os.MkdirAll(filepath.Join(filepath.Dir(conf), "conf.d"), 0o700))
	broken := filepath.Join(filepath.Dir(conf), "conf.d", "x.conf")
	ok(t, os.WriteFile(broken, []byte("# site\nwork_mem = 4 MB\n"), 0o600))
	ok(t, os.WriteFile(conf, []byte(content(t, conf)+"\ninclude_dir 'conf.d'\n"), 0o600))
	fails(t, h.applySettings(within(t), h.primarySettings(false)), "reload: PostgreSQL refuses all of its configuration files until this is mended: "+broken+":2: syntax error")
	ok(t, os.WriteFile(broken, []byte("nosuch = 1\n"), 0o600))
	fails(t, h.applySettings(within(t), h.primarySettings(false)), broken+":1: nosuch: unrecognized configuration parameter")
	ok(t, os.WriteFile(broken, []byte("work_mem = 'x'\n"), 0o600)) // spoils its own line only
	ok(t, h.applySettings(within(t), h.primarySettings(false)))
	session, err := h.Postgres.Connect(within(t))
	ok(t, err)
	defer session.Close()
	seen, err := session.Look(within(t), "server2")
	ok(t, err)
	if seen.SyncNames != "" {
		t.Errorf("proven alone, yet in force is %q", seen.SyncNames)
	}
}

func TestWhatTheCommandLineHasSetIsTold(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Paired))
	_, err := h.Postgres.Start(postgres.StartOptions{Settings: map[string]string{"synchronous_standby_names": "byhand"}})
	ok(t, err)
	ok(t, h.Postgres.WaitReady(within(t)))
	fails(t, h.PutRight(within(t)), "synchronous_standby_names was set on the command line of PostgreSQL, which wins over every file", "mcctl stop")
}

// What was changed behind our back is told with its place, and mended.
func TestPutRightTellsWhatItFound(t *testing.T) {
	h, conf, auto := withSite(t)
	var told []string
	h.Tell = func(text string) { told = append(told, text) }
	ok(t, h.PutRight(within(t)))
	if want := auto + ":3: ALTER SYSTEM has set synchronous_standby_names to '*', which would win over postgresql.conf; commented out"; len(told) != 1 || told[0] != want {
		t.Errorf("told %q, want %q", told, want)
	}
	told = nil
	ok(t, os.WriteFile(conf, []byte(strings.Replace(content(t, conf), "#synchronous_standby_names = 'server2'", "synchronous_standby_names = 'evil'", 1)), 0o600))
	ok(t, h.PutRight(within(t)))
	if len(told) != 1 || !strings.HasPrefix(told[0], "putting right: ") || !strings.Contains(told[0], "synchronous_standby_names says 'evil' and is to be out of use") {
		t.Errorf("told %q", told)
	}
	told = nil
	ok(t, h.PutRight(within(t)))
	if len(told) != 0 {
		t.Errorf("told although nothing was wrong: %q", told)
	}
}

func TestTheGateLeadsToTheFileThatPostgresUses(t *testing.T) {
	h, conf, _ := withSite(t)
	if got := h.siteHBA(); got != h.Config.Server.HBAFile {
		t.Errorf("postgresql.conf says nothing, the gate leads to %s", got)
	}
	ok(t, os.WriteFile(conf, []byte("hba_file = '/etc/site/pg_hba.conf'\n"), 0o600))
	if got := h.siteHBA(); got != "/etc/site/pg_hba.conf" {
		t.Errorf("the gate leads to %s", got)
	}
}
