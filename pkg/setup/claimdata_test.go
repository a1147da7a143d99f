package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
)

// supervisedBy has a supervisor of a management directory work on a data directory.
func supervisedBy(t *testing.T, dir, data string) {
	t.Helper()
	release, err := (&postgres.Instance{Data: data}).Claim(postgres.Holder{Dir: dir})
	ok(t, err)
	t.Cleanup(release)
}

func mustBeLeftTo(t *testing.T, dir, data string, err error) {
	t.Helper()
	want := fmt.Sprintf("use data directory %s: a supervisor works on it already (pid %d, management directory %s): go on with that management directory; or take this server out of its pair first: mcctl detach -M %[3]s, then mcctl stop --mc-only -M %[3]s", data, os.Getpid(), dir)
	if !errors.Is(err, ErrSupervised) || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// Its data may be gone, or on its way to another place: the supervisor will want it back.
func TestWhereASupervisorWorksNothingIsMade(t *testing.T) {
	parent := t.TempDir()
	data := filepath.Join(parent, "main")
	supervisedBy(t, "/etc/mcctl/a", data)
	s := quiet(filepath.Join(t.TempDir(), "mc"))
	_, err := s.First(t.Context(), Plan{DataDirectory: data})
	mustBeLeftTo(t, "/etc/mcctl/a", data, err)
	mustBeLeftTo(t, "/etc/mcctl/a", data, s.Join(t.Context(), Token{Name: "server2"}, Plan{DataDirectory: data}))
	for _, path := range []string{s.Dir, data} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was made", path)
		}
	}
}

func TestWhatWasBegunIsLeftToASupervisor(t *testing.T) {
	s, data := aJoin(t)
	supervisedBy(t, "/etc/mcctl/a", data)
	mustBeLeftTo(t, "/etc/mcctl/a", data, quiet(s.Dir).Join(t.Context(), Token{}, Plan{}))

	s.state.Kind, s.state.Finished = First, true
	ok(t, s.directories("run"))
	ok(t, s.save())
	_, err := s.Restart(t.Context())
	mustBeLeftTo(t, "/etc/mcctl/a", data, err)
}

// It was only stopped: its pair still relies on what would be edited here.
func TestTheDataOfAStoppedSupervisorOfAPair(t *testing.T) {
	mcdir, data := t.TempDir(), filepath.Join(t.TempDir(), "main")
	release, err := (&postgres.Instance{Data: data}).Claim(postgres.Holder{Dir: mcdir})
	ok(t, err)
	release()
	s := quiet(filepath.Join(t.TempDir(), "mc"))
	for mode, left := range map[pair.Mode]bool{pair.Paired: false, pair.Alone: true} {
		r := record.First("orders", "server1")
		r.Mode = mode
		ok(t, durable.Machine.WriteJSON(filepath.Join(mcdir, "record.json"), r, 0o600))
		if err := s.isUnsupervised(Plan{DataDirectory: data}); (err == nil) != left || err != nil && (!errors.Is(err, ErrPaired)) {
			t.Errorf("%s: %v", mode, err)
		}
	}
	ok(t, os.Remove(filepath.Join(mcdir, "record.json")))
	ok(t, s.isUnsupervised(Plan{DataDirectory: data}))
}

// A supervisor that begins meanwhile is refused, and so is another mcctl init.
func TestTheDataDirectoryIsHeld(t *testing.T) {
	s, data := aJoin(t)
	held, again := false, quiet(filepath.Join(t.TempDir(), "mc"))
	s = quiet(s.Dir)
	s.Say = func(said string) {
		if !strings.HasPrefix(said, "making a key") {
			return
		}
		_, err := (&postgres.Instance{Data: data}).Claim(postgres.Holder{Dir: "/etc/mcctl/a"})
		held = err != nil && err.Error() == "mcctl init, of "+s.Dir+", works on "+data
		if err := again.Join(t.Context(), Token{Name: "server2"}, Plan{DataDirectory: data}); !errors.Is(err, ErrHeld) {
			t.Errorf("another one: %v", err)
		}
	}
	if err := s.Join(t.Context(), Token{}, Plan{}); err == nil {
		t.Error("it has joined without a copy")
	}
	if !held {
		t.Error("it is not held")
	}
	ok(t, (&postgres.Instance{Data: data}).Claimed())
}
