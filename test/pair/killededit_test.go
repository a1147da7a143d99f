package pair

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/test/fault"
)

// The supervisor is killed in the middle of an edit of postgresql.conf: at the first sign
// of it on the disk, and at the third. What was begun is finished by its successor, or
// the command called again does it.
func TestEditsOfTheConfigurationKilled(t *testing.T) {
	s := newStage(t, lab.Options{})
	before, c := map[pair.Server]string{one: unmanaged(s.conf(one)), two: unmanaged(s.conf(two))}, &fault.Counts{}
	for _, command := range []string{"detach", "attach", "switch"} {
		for _, sign := range []int{1, 3} {
			s.meets("the edit of "+command, func() bool {
				met := s.killedAt(sign, command)
				if met {
					c.Add(command)
				}
				return met
			})
		}
	}
	c.Promised(t, "Edits of postgresql.conf", "kill -9")
	for of, was := range before {
		if now := unmanaged(s.conf(of)); now != was {
			t.Errorf("postgresql.conf of %s is\n%s\nand was\n%s", of, now, was)
		}
	}
}

// killedAt lets a command be cut off at its edit, and the pair become what was asked for,
// and then what it was. It tells whether the edit was under way.
func (s *stage) killedAt(sign int, command string) (met bool) {
	s.Helper()
	if s.paired(one); command == "attach" {
		s.mcctl("detach", "-M", s.lab.Mcdir(one))
	}
	editor := one
	if command == "switch" { // the new primary comments the names out
		editor = two
	}
	met, out, err := s.killedInEdit(editor, sign, command)
	s.Logf("killed at sign %d of %s, in its edit %t: %v\n%s", sign, command, met, err, out)
	if err != nil && !strings.Contains(out, "mcctl: ") {
		s.Errorf("%s: nothing is said: %v", command, err)
	}
	if command == "detach" {
		s.again("detach")
		s.detached()
		s.flowing()
	}
	if command != "switch" {
		s.again("attach")
	}
	s.reigns()
	s.flowing()
	return met
}

// killedInEdit runs a command on server1, and kills the supervisor of the one that edits
// at the n-th thing that happens to its postgresql.conf. An edit that was cut off leaves
// its temporary file.
func (s *stage) killedInEdit(editor pair.Server, n int, command string) (met bool, out string, err error) {
	s.Helper()
	temporary := filepath.Join(s.lab.Data(editor), ".postgresql.conf.mcctl-tmp")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Fatal(err)
	}
	w, err := fsnotify.NewWatcher()
	if err == nil {
		err = w.Add(s.lab.Data(editor))
	}
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	supervisor := s.lab.Pids().Servers[editor].Supervisor
	type end struct {
		out string
		err error
	}
	ended := make(chan end, 1)
	go func() {
		out, err := s.try(command, "-M", s.lab.Mcdir(one))
		ended <- end{out, err}
	}()
	for patient := time.After(patience); n > 0; {
		select {
		case e := <-w.Events:
			if strings.Contains(filepath.Base(e.Name), "postgresql.conf") {
				n--
			}
		case <-patient:
			s.Fatalf("%s does not edit postgresql.conf", command)
		}
	}
	s.killed(supervisor)
	_, left := os.Lstat(temporary)
	e := <-ended
	return left == nil, e.out, e.err
}
