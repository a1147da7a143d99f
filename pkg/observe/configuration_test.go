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
func configured(t *testing.T) (c *Configuration, conf string, told func() string) {
	t.Helper()
	notRoot(t)
	in := newServer(t)
	pid := start(t, in)
	var text []string
	c = &Configuration{
		Board: board.NewBoard(), Instance: in, Files: NewFiles(conffiles.NewWatched(conffiles.Roots(filepath.Join(in.Data, "postgresql.conf"), in.Data, 15))),
		Wanted: func(board.Sight) (settings.Wanted, bool) { return paired, true },
		Tell:   func(line string) { text = append(text, line) },
	}
	c.Board.Set(func(s *board.Sight) { s.PID, s.LookAt = pid, 1 })
	conf = filepath.Join(in.Data, "postgresql.conf")
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
	if s := c.Board.Read(); s.ConfigTrouble != want || told() != want || s.SettingsStale {
		t.Errorf("trouble %q, told %q; want %q", s.ConfigTrouble, told(), want)
	}
	write(t, conf, string(base))
	c.Files.Forget()
	c.Check(context.Background())
	if s := c.Board.Read(); s.ConfigTrouble != "" || told() != want+"\nmended: "+want {
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
	c.Board.Set(func(s *board.Sight) { s.Doing = "attach" })
	seen := c.checked
	c.Files.Forget()
	c.Check(context.Background())
	if c.checked != seen {
		t.Error("the server is asked in the middle of an action")
	}
	c.Board.Set(func(s *board.Sight) { s.Doing = "" })
	ok(t, c.Instance.Reload(c.Board.Read().PID))
	eventually(t, "the reload is seen", func() bool {
		c.Check(context.Background())
		return !c.Board.Read().SettingsStale
	})
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
