package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fsnotify/fsnotify"

	"mcctl/pkg/board"
	"mcctl/pkg/conffiles"
	"mcctl/pkg/observe"
	"mcctl/pkg/pair"
)

// configured is a supervisor whose postgresql.conf lies apart from the data and
// includes a directory.
func configured(t *testing.T) (a *Agent, etc, data string) {
	t.Helper()
	c, _ := mcdir(t)
	etc, data = filepath.Join(c.Dir, "etc"), c.Server.DataDirectory
	c.Server.ConfigFile = filepath.Join(etc, "postgresql.conf")
	ok(t, os.MkdirAll(filepath.Join(etc, "conf.d"), 0o700))
	ok(t, os.MkdirAll(data, 0o700))
	ok(t, os.WriteFile(c.Server.ConfigFile, []byte("include_dir 'conf.d'\ninclude_if_exists 'none.conf'\n"), 0o600))
	ok(t, os.WriteFile(filepath.Join(data, "postgresql.auto.conf"), nil, 0o600))
	a = newAgent(t, c)
	a.files = observe.NewFiles(conffiles.NewWatched(conffiles.Roots(c.Server.ConfigFile, data, 15)))
	_, _, err := a.files.Tree()
	ok(t, err)
	return a, etc, data
}

// Directories are watched, but of the data directory, where something always happens,
// only the files that matter; and those again after they were replaced.
func TestTheKernelTellsOfEveryConfigurationFile(t *testing.T) {
	a, etc, data := configured(t)
	events := make(chan string, 100)
	w, err := newFileWatch(func(e fsnotify.Event) bool { events <- e.Name; return true })
	ok(t, err)
	defer w.close()
	auto := filepath.Join(data, "postgresql.auto.conf")
	watches := func() {
		t.Helper()
		a.watchFiles(w)
		got := w.watched()
		slices.Sort(got)
		if want := []string{auto, etc, filepath.Join(etc, "conf.d")}; !slices.Equal(got, want) {
			t.Errorf("watched: %q, want %q", got, want)
		}
	}
	watches()
	watches()
	for _, path := range []string{filepath.Join(etc, "conf.d", "new.conf"), filepath.Join(etc, "none.conf"), filepath.Join(etc, "postgresql.conf"), auto} {
		ok(t, os.WriteFile(path+".tmp", []byte("port = 1\n"), 0o600))
		ok(t, os.Rename(path+".tmp", path))
		for received(t, events) != path {
		}
	}
	eventually(t, "the replaced file is no longer watched", func() bool { return !slices.Contains(w.watched(), auto) })
	watches()
}

// What is wrong with the configuration stands in status and in the events.
func TestAProblemOfTheConfigurationIsInStatusAndEvents(t *testing.T) {
	a, etc, _ := configured(t)
	broken := filepath.Join(etc, "conf.d", "x.conf")
	ok(t, os.WriteFile(broken, []byte("port = 1 2\n"), 0o600))
	a.group.run("configuration", a.watchConfiguration)
	eventually(t, "it is told", func() bool {
		st := a.status()
		return len(st.Warnings) == 1 && strings.HasSuffix(st.Warnings[0], broken+":1: syntax error")
	})
	events := a.config.Path("log", "events.jsonl")
	eventually(t, "the events say it", func() bool {
		b, _ := os.ReadFile(events)
		return strings.Contains(string(b), broken+":1: syntax error")
	})
	ok(t, os.Remove(broken))
	eventually(t, "it is gone", func() bool { return len(a.status().Warnings) == 0 })
}

// A detach that PostgreSQL does not hear of is no success.
func TestADetachThatIsNotInForceIsAnError(t *testing.T) {
	a := someAgent(t)
	a.board.Set(func(s *board.Sight) {
		s.Record, s.PID, s.Look.SyncNames, s.ConfigTrouble = rec(1, 2, "server1", pair.Alone), 7, "server2", "x.conf:1: syntax error"
	})
	_, err := a.detach(t.Context(), nil)
	if err == nil || err.Error() != "detach server2: the record says alone, but commits still wait for it: x.conf:1: syntax error" {
		t.Errorf("detach: %v", err)
	}
	a.board.Set(func(s *board.Sight) { s.Look.SyncNames = "" })
	if _, err := a.detach(t.Context(), nil); err != nil {
		t.Errorf("in force: %v", err)
	}
}
