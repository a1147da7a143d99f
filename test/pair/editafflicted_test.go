package pair

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

// little is room for the small files that come before an edit of postgresql.conf, and not
// for that one, which is made large.
const little, large = 48 << 10, 256 << 10

// What edits postgresql.conf meets a full disk or a network that is gone, before it is
// called and in the middle of the edit. When that is over the pair is whole again, or as
// it was asked to be.
func TestEditsOfTheConfigurationWithoutDiskOrNetwork(t *testing.T) {
	beside(t)
	if !fault.Inside(t) {
		return
	}
	s, full, cut := afflicted(t)
	s.mcctl("stop", "-M", s.lab.Mcdir(one))
	s.walOn(s.lab.Dir, one) // else a promotion has no room for the log of its timeline, and PostgreSQL ends
	s.add(filepath.Join(s.lab.Data(one), "postgresql.conf"), strings.Repeat("# of the site\n", large/14))
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	s.paired(one)
	before := map[pair.Server]string{one: unmanaged(s.conf(one)), two: unmanaged(s.conf(two))}
	for _, f := range []affliction{full, cut} {
		c := &fault.Counts{}
		for _, command := range []string{"detach", "attach", "switch"} {
			for _, afflict := range []func(affliction, string) bool{s.afflictedBefore, s.afflictedInEdit} {
				s.meets(f.name+" at "+command, func() bool {
					met := s.editInterrupted(command, func() bool { return afflict(f, command) })
					if met {
						c.Add(command)
					}
					return met
				})
			}
		}
		t.Logf("%s:%s", f.name, c)
		c.Promised(t, "Edits of postgresql.conf", f.name)
	}
	for of, was := range before {
		if now := unmanaged(s.conf(of)); now != was {
			t.Errorf("postgresql.conf of %s is\n%s\nand was\n%s", of, now, was)
		}
	}
}

// afflictedBefore lets a command find the fault there. It has met it if it fails, or has
// not come to its end when that is over.
func (s *stage) afflictedBefore(f affliction, command string) (met bool) {
	s.Helper()
	f.begin()
	c := s.start([]string{command, "-M", s.lab.Mcdir(one)})
	select {
	case <-c.ended:
	case <-time.After(3 * time.Second):
	}
	met = c.under() || c.err != nil
	f.end()
	<-c.ended
	s.saysSo(f, command, "before", met, c)
	return met
}

// afflictedInEdit begins the fault in the middle of the edit, which has met it if it has not
// come to its end then.
func (s *stage) afflictedInEdit(f affliction, command string) (met bool) {
	s.Helper()
	in := s.cutInEdit
	if f.leave != nil {
		in = s.fullInEdit
	}
	met, c := in(f, command)
	s.saysSo(f, command, "in the edit", met, c)
	return met
}

// cutInEdit takes the network away at the first sign of the edit.
func (s *stage) cutInEdit(f affliction, command string) (met bool, c *aCommand) {
	s.Helper()
	editor := editorOf(command)
	c = s.atEdit(editor, 1, []string{command, "-M", s.lab.Mcdir(one)}, func() {
		f.begin()
		met = s.inEdit(editor)
		time.Sleep(3 * time.Second)
		f.end()
	})
	return met, c
}

// fullInEdit leaves room for the beginning of the new file only. What server1, whose disk it
// is, edits at a switch is that it becomes the primary; it would not, had it no room before.
func (s *stage) fullInEdit(f affliction, command string) (met bool, c *aCommand) {
	s.Helper()
	full := make(chan struct{})
	fill := func() { f.leave(little); close(full) }
	was := s.conf(one)
	if command == "switch" {
		s.mcctl("switch", "-M", s.lab.Mcdir(one))
		s.paired(two)
		was = s.conf(one)
		former, _ := s.status(two)
		go func() {
			s.whenClosing(two, former)
			fill()
		}()
	} else {
		fill()
	}
	c = s.atEdit(one, 1, []string{command, "-M", s.lab.Mcdir(one)}, func() {
		<-full
		for began := time.Now(); s.inEdit(one) && time.Since(began) < patience; time.Sleep(time.Millisecond) {
		}
		met = s.conf(one) == was // it was given up; the supervisor tries again and again
		time.Sleep(time.Second)
		f.end()
	})
	f.end()
	return met, c
}

// whenClosing waits until a switch that is newer than the former one has left its checkpoint.
func (s *stage) whenClosing(from pair.Server, former wire.Status) {
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		st, err := s.status(from)
		if err == nil && st.Job != nil && (former.Job == nil || st.Job.ID != former.Job.ID) && len(st.Job.Steps) > 2 {
			return
		}
	}
}

// saysSo is a command that says something when it fails.
func (s *stage) saysSo(f affliction, command, when string, met bool, c *aCommand) {
	s.Helper()
	s.Logf("%s at %s, %s, met %t: %v\n%s", f.name, command, when, met, c.err, &c.said)
	if c.err != nil && !strings.Contains(c.said.String(), "mcctl: ") {
		s.Errorf("%s at %s: nothing is said: %v", f.name, command, c.err)
	}
}
