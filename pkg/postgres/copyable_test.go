package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Own files come into a copy last. What cannot be read is told of before it is begun.
func TestACopyIsNotBegunWhereAnOwnFileCannotBeRead(t *testing.T) {
	primary, in := newServer(t), newServer(t)
	start(t, primary)
	source, begun := sourceOf(primary, "b"), false
	conf := filepath.Join(in.Data, "conf.d")
	ok(t, errors.Join(os.Mkdir(conf, 0o700), unix.Mkfifo(filepath.Join(conf, "fifo"), 0o600))) // is not copied: to open it would wait
	ok(t, os.Symlink("/nowhere", filepath.Join(in.Data, "link")))                              // is copied as such
	tries := map[string]func() error{
		"a plan": func() error { return in.CanCopyBeside(within(t), source, Layout{}) },
		"a copy": func() error {
			return in.BaseBackup(within(t), source, BackupOptions{Progress: func(int64, int64) { begun = true }})
		},
	}
	for _, name := range []string{"postgresql.conf.bak", "conf.d/key", "old"} {
		path := filepath.Join(in.Data, name)
		if write(t, path, ""); name == "old" {
			ok(t, errors.Join(os.Remove(path), os.Mkdir(path, 0)))
		}
		ok(t, os.Chmod(path, 0))
		for what, try := range tries {
			if err := try(); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "give that to this user") {
				t.Errorf("%s beside %s: %v", what, name, err)
			}
		}
		ok(t, os.Chmod(path, 0o700))
	}
	if begun {
		t.Error("it was begun")
	}
	for _, what := range []string{"a plan", "a copy"} {
		ok(t, tries[what]())
	}
}
