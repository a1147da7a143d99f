package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fsnotify/fsnotify"

	"mcctl/pkg/board"
	"mcctl/pkg/check"
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
		return len(st.Warnings) == 1 && strings.HasSuffix(st.Warnings[0], broken+":1: syntax error") && strings.HasPrefix(st.Warnings[0], "server1: ")
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

// The other server's files are in the way as this one's are, and a status that says nothing
// of them would be wrong. What is in the way of a switch is in nobody else's: the table does
// not know of it.
func TestTheFilesOfBothServersAreToldAndInTheWay(t *testing.T) {
	const broken, waits = "x.conf:1: syntax error", "x.conf:2: port waits for a restart"
	for _, c := range []struct {
		name     string
		change   func(*board.Sight)
		warnings []string
		blockers []string // by row
	}{
		{"all is well, or the other one is older and does not tell", func(*board.Sight) {}, nil, nil},
		{
			"a broken line here", func(s *board.Sight) { s.ConfigTrouble, s.ConfigInTheWay = broken, broken },
			[]string{"server1: " + broken},
			[]string{"primary-configuration: server1 cannot change its role with PostgreSQL's configuration files as they are: " + broken},
		},
		{
			"a broken line there, and two more", func(s *board.Sight) {
				s.Report.ConfigTrouble, s.Report.ConfigInTheWay = broken+"\n"+waits, broken+"\nsecond\nthird"
			},
			[]string{"server2: " + broken, "server2: " + waits},
			[]string{"standby-configuration: server2 cannot change its role with PostgreSQL's configuration files as they are: " + broken + " (and 2 more: mcctl status)"},
		},
		{"a restart is waited for on both", func(s *board.Sight) { s.ConfigTrouble, s.Report.ConfigTrouble = waits, waits }, []string{"server1: " + waits, "server2: " + waits}, nil},
		{
			"what a silent server said last", func(s *board.Sight) {
				s.Link.Connected, s.Heard, s.Started, s.Report.ConfigTrouble = false, 1, 1, broken
			}, nil, nil,
		},
	} {
		a := pairedPrimary(t)
		before := a.limits.Classify(a.board.Read(), a.clock.Now())
		a.board.Set(c.change)
		st := a.status()
		if !slices.Equal(st.Warnings, c.warnings) {
			t.Errorf("%s: warned of %q, want %q", c.name, st.Warnings, c.warnings)
		}
		var blockers []string
		for _, h := range a.conditions(a.board.Read()) {
			if strings.HasSuffix(h.ID, "-configuration") && h.State == check.Blocker {
				blockers = append(blockers, h.ID+": "+h.Text)
			}
		}
		if !slices.Equal(blockers, c.blockers) {
			t.Errorf("%s: in the way is %q, want %q", c.name, blockers, c.blockers)
		}
		if in := len(blockers) > 0; in && st.Healthy || in != strings.HasPrefix(st.NextStep, "put right ") {
			t.Errorf("%s: healthy %t, next step %q", c.name, st.Healthy, st.NextStep)
		}
		if after := a.limits.Classify(a.board.Read(), a.clock.Now()); a.board.Read().Link.Connected && after != before {
			t.Errorf("%s: a take-over would be decided by %+v, was %+v", c.name, after, before)
		}
	}
}

// However many lines are broken: a report stays small, and whole runes.
func TestLittleIsToldOfALongConfiguration(t *testing.T) {
	a := pairedPrimary(t)
	long := strings.Repeat("ä.conf:1: syntax error\n", 1000)
	a.board.Set(func(s *board.Sight) { s.ConfigTrouble, s.ConfigInTheWay = long, "x.conf:1: syntax error" })
	r := a.report()
	if len(r.ConfigTrouble) > toldMax+100 || !utf8.ValidString(r.ConfigTrouble) || !strings.HasPrefix(long, r.ConfigTrouble[:toldMax-4]) || !strings.HasSuffix(r.ConfigTrouble, "mcctl status there)") {
		t.Errorf("told: %q", r.ConfigTrouble)
	}
	if r.ConfigInTheWay != "x.conf:1: syntax error" {
		t.Errorf("a short text is cut: %q", r.ConfigInTheWay)
	}
}
