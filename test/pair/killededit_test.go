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

// killedAt kills the editor's supervisor, see editInterrupted.
func (s *stage) killedAt(sign int, command string) (met bool) {
	s.Helper()
	return s.editInterrupted(command, func() bool {
		met, out, err := s.killedInEdit(editorOf(command), sign, command)
		s.Logf("killed at sign %d of %s, in its edit %t: %v\n%s", sign, command, met, err, out)
		if err != nil && !strings.Contains(out, "mcctl: ") {
			s.Errorf("%s: nothing is said: %v", command, err)
		}
		return met
	})
}

// editInterrupted lets a command be interrupted, and the pair become what was asked for, and
// then what it was. It tells whether the interruption met the command.
func (s *stage) editInterrupted(command string, interrupt func() bool) (met bool) {
	s.Helper()
	if s.paired(one); command == "attach" {
		s.mcctl("detach", "-M", s.lab.Mcdir(one))
	}
	met = interrupt()
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

// editorOf is who edits postgresql.conf when server1 is the primary.
func editorOf(command string) pair.Server {
	if command == "switch" { // the new primary comments the names out
		return two
	}
	return one
}

// killedInEdit runs a command on server1, and kills the supervisor of the one that edits
// at the n-th thing that happens to its postgresql.conf.
func (s *stage) killedInEdit(editor pair.Server, n int, command string) (met bool, out string, err error) {
	s.Helper()
	supervisor := s.lab.Pids().Servers[editor].Supervisor
	c := s.atEdit(editor, n, []string{command, "-M", s.lab.Mcdir(one)}, func() {
		s.killed(supervisor)
		met = s.inEdit(editor)
	})
	return met, c.said.String(), c.err
}

// temporary is where postgresql.conf is written anew; an edit that was cut off leaves it.
func (s *stage) temporary(editor pair.Server) string {
	return filepath.Join(s.lab.Data(editor), ".postgresql.conf.mcctl-tmp")
}

// inEdit tells whether an edit has begun and not come to its end.
func (s *stage) inEdit(editor pair.Server) bool {
	_, err := os.Lstat(s.temporary(editor))
	return err == nil
}

// atEdit runs a command to its end, and interrupts at the n-th thing that happens to the
// postgresql.conf of the one that edits. A command that fails before that is not interrupted.
func (s *stage) atEdit(editor pair.Server, n int, args []string, interrupt func()) *aCommand {
	s.Helper()
	if err := os.Remove(s.temporary(editor)); err != nil && !errors.Is(err, fs.ErrNotExist) {
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
	c := s.start(args)
	for ended, patient := c.ended, time.After(patience); n > 0; {
		select {
		case e := <-w.Events:
			if strings.Contains(filepath.Base(e.Name), "postgresql.conf") {
				n--
			}
		case <-ended:
			if c.err != nil {
				return c
			}
			ended = nil // the edit has been made, or will be
		case <-patient:
			s.Fatalf("%q does not edit postgresql.conf", args)
		}
	}
	interrupt()
	<-c.ended
	return c
}
