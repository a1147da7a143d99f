package observe

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/pkg/board"
	"mcctl/pkg/conffiles"
	"mcctl/pkg/settings"
)

// configured is a server whose configuration is watched, and what was told.
func configured(t *testing.T, lines ...string) (c *Configuration, conf string, told func() string) {
	t.Helper()
	notRoot(t)
	in := newServer(t)
	conf = filepath.Join(in.Data, "postgresql.conf")
	add(t, conf, "\n"+strings.Join(lines, "\n")+"\n")
	pid := start(t, in)
	var text []string
	c = &Configuration{
		Board: board.NewBoard(), Instance: in, Files: NewFiles(conffiles.NewWatched(conffiles.Roots(conf, in.Data, 15))),
		Wanted: func(board.Sight) (settings.Wanted, bool) { return paired, true },
		Busy:   func() bool { return false },
		Tell:   func(line string) { text = append(text, line) },
	}
	c.Board.Set(func(s *board.Sight) { s.PID, s.LookAt = pid, 1 })
	return c, conf, func() string { return strings.Join(text, "\n") }
}

func add(t *testing.T, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	write(t, path, string(b)+text)
}

func TestABrokenLineIsToldUntilItIsMended(t *testing.T) {
	c, conf, told := configured(t)
	base, err := os.ReadFile(conf)
	ok(t, err)
	c.Check(context.Background())
	if s := c.Board.Read(); s.ConfigTrouble != "" || told() != "" {
		t.Errorf("nothing is wrong: %q, %q", s.ConfigTrouble, told())
	}
	extra := filepath.Join(filepath.Dir(conf), "extra.conf")
	write(t, extra, "\nwork_mem = 1 2\n")
	add(t, conf, "\ninclude 'extra.conf'\n")
	for range 2 { // told once
		c.Check(context.Background())
	}
	want := "PostgreSQL refuses to reload any of its configuration files until this is mended: " + extra + ":2: syntax error"
	if s := c.Board.Read(); s.ConfigTrouble != want || s.ConfigInTheWay != want || told() != want || s.SettingsStale {
		t.Errorf("trouble %q, in the way %q, told %q; want %q", s.ConfigTrouble, s.ConfigInTheWay, told(), want)
	}
	write(t, conf, string(base))
	c.Files.Forget()
	c.Check(context.Background())
	if s := c.Board.Read(); s.ConfigTrouble+s.ConfigInTheWay != "" || told() != want+"\nmended: "+want {
		t.Errorf("trouble %q, told %q", s.ConfigTrouble, told())
	}
}

func TestAReloadThatNobodyAskedForCounts(t *testing.T) {
	c, conf, _ := configured(t)
	add(t, conf, "\nsynchronous_standby_names = 'server2'\n")
	eventually(t, "the server goes by other values than the files", func() bool {
		c.Check(context.Background())
		return c.Board.Read().SettingsStale
	})
	c.Busy = func() bool { return true }
	seen := c.checked
	c.Files.Forget()
	c.Check(context.Background())
	if c.checked != seen {
		t.Error("the server is asked in the middle of an action")
	}
	c.Busy = func() bool { return false }
	ok(t, c.Instance.Reload(c.Board.Read().PID))
	eventually(t, "the reload is seen", func() bool {
		c.Check(context.Background())
		return !c.Board.Read().SettingsStale
	})
}

func TestWhatWaitsForARestartIsTold(t *testing.T) {
	const line = "max_files_per_process = 999"
	c, conf, _ := configured(t, line)
	base, err := os.ReadFile(conf)
	ok(t, err)
	sees := func(want string) {
		t.Helper()
		ok(t, c.Instance.Reload(c.Board.Read().PID))
		eventually(t, "it sees that "+want, func() bool {
			c.Files.Forget()
			c.Check(context.Background())
			got := c.Board.Read().ConfigTrouble
			return strings.HasSuffix(got, want) && strings.Count(got, "\n") == 0
		})
	}
	add(t, conf, "\nmax_locks_per_transaction = 65\n")
	sees(": max_locks_per_transaction waits for a restart of PostgreSQL, or is invalid")
	if got := c.Board.Read().ConfigInTheWay; got != "" {
		t.Errorf("a switch is how it comes into force, and this is in its way: %q", got)
	}
	add(t, conf, "\nwork_mem = 'x'\n")
	eventually(t, "both are told", func() bool {
		c.Files.Forget()
		c.Check(context.Background())
		s := c.Board.Read()
		return strings.Contains(s.ConfigTrouble, "PostgreSQL ignores "+conf+":") && strings.HasPrefix(s.ConfigInTheWay, "PostgreSQL ignores ") && !strings.Contains(s.ConfigInTheWay, "restart")
	})
	write(t, conf, strings.Replace(string(base), line, "", 1))
	sees(`parameter "max_files_per_process" cannot be changed without restarting the server, but its line was taken away`)
}

func TestALineInAFileThatIsNotOursIsTold(t *testing.T) {
	c, conf, told := configured(t)
	extra := filepath.Join(filepath.Dir(conf), "extra.conf")
	write(t, extra, "# managed by the site\nsynchronous_standby_names = 'server2'\n")
	ok(t, os.Chmod(extra, 0o400))
	add(t, conf, "\ninclude 'extra.conf'\n")
	c.Check(context.Background())
	if got := told(); !strings.HasPrefix(got, extra+":2: mcctl must be able to change synchronous_standby_names, but it is read-only (mode 0400)") {
		t.Errorf("told %q", got)
	}
	if s := c.Board.Read(); s.ConfigInTheWay != s.ConfigTrouble {
		t.Errorf("in the way is %q", s.ConfigInTheWay)
	}
}

// In the other role lines count that are not there yet: where they would be added, as a rule
// in the main file. Nothing in it tells when its directory can be written again.
func TestALineThatCouldNotBeAddedIsToldUntilItCould(t *testing.T) {
	c, conf, told := configured(t, "synchronous_standby_names = 'server2'")
	c.Wanted = func(board.Sight) (settings.Wanted, bool) { return settings.Wanted{Other: "server2", Wait: true}, true }
	site := filepath.Join(t.TempDir(), "site.conf") // of a directory that nothing else needs
	write(t, site, "#primary_slot_name = ''\n")
	add(t, conf, "\ninclude '"+site+"'\n")
	ok(t, os.Chmod(conf, 0o400))
	c.Check(context.Background())
	if got := told(); !strings.Contains(got, conf+": mcctl must be able to add primary_conninfo, but it is read-only (mode 0400)") || strings.Contains(got, "primary_slot_name") {
		t.Errorf("told %q", got)
	}
	ok(t, os.Chmod(conf, 0o600))
	c.Check(context.Background())
	if got := c.Board.Read(); got.ConfigTrouble+got.ConfigInTheWay != "" {
		t.Errorf("mended, and told %q", got.ConfigTrouble)
	}
	write(t, site, "primary_slot_name = 'mcctl_server1'\n")
	ok(t, os.Chmod(filepath.Dir(site), 0o500))
	defer func() { ok(t, os.Chmod(filepath.Dir(site), 0o700)) }()
	c.Check(context.Background())
	if got := c.Board.Read().ConfigInTheWay; !strings.HasPrefix(got, site+":1: mcctl must be able to change primary_slot_name, but its directory ") {
		t.Errorf("in the way is %q", got)
	}
	ok(t, os.Chmod(filepath.Dir(site), 0o700))
	c.Check(context.Background())
	if got := c.Board.Read().ConfigInTheWay; got != "" {
		t.Errorf("mended, and in the way is %q", got)
	}
}

func TestAServerThatIsDownIsNotAsked(t *testing.T) {
	c, conf, told := configured(t)
	c.Board.Set(func(s *board.Sight) { s.LookAt = 0 })
	add(t, conf, "\nwork_mem = 1 2\n")
	c.Check(context.Background())
	if got := told(); !strings.HasPrefix(got, "PostgreSQL will not start with its configuration files: "+conf+":") || !strings.HasSuffix(got, ": syntax error") {
		t.Errorf("told %q", got)
	}
	ok(t, os.Remove(conf))
	c.Check(context.Background())
	if got := c.Board.Read().ConfigTrouble; !strings.HasPrefix(got, "read configuration: open "+conf) {
		t.Errorf("trouble %q", got)
	}
}
