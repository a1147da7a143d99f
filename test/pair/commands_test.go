package pair

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// siteCommands gives both servers a command of each kind and starts the pair anew
// with them. A command writes a line into the server's file of its kind, does
// what text says, and says in another file that it has ended.
func (s *stage) siteCommands(kinds string, text string) {
	s.Helper()
	for _, of := range []pair.Server{one, two} {
		table := "\n[commands]\n"
		for kind := range strings.FieldsSeq(kinds) {
			path := filepath.Join(s.lab.Mcdir(of), kind)
			script := fmt.Sprintf("#!/bin/sh\nexec 2>&1\necho \"$*\" >>%[1]s.calls\n%s\necho end >>%[1]s.ends\n", path, text)
			if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
				s.Fatal(err)
			}
			table += fmt.Sprintf("%s = %q\n", kind, kind)
		}
		toml := filepath.Join(s.lab.Mcdir(of), "server.toml")
		b, err := os.ReadFile(toml)
		if err != nil {
			s.Fatal(err)
		}
		if err := os.WriteFile(toml, append(b, table...), 0o600); err != nil {
			s.Fatal(err)
		}
	}
	// The primary first, so that the pair stays paired; back in the same order.
	s.mcctl("stop", "-a", "-M", s.lab.Mcdir(two))
	s.mcctl("start", "-M", s.lab.Mcdir(two))
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	s.paired(one)
	s.flowing()
	for _, of := range []pair.Server{one, two} { // what the start may have called
		for kind := range strings.FieldsSeq(kinds) {
			_ = os.Remove(filepath.Join(s.lab.Mcdir(of), kind+".calls"))
		}
	}
}

// calls are the arguments of all calls of a kind on a server.
func (s *stage) calls(of pair.Server, kind string) []string {
	b, _ := os.ReadFile(filepath.Join(s.lab.Mcdir(of), kind+".calls"))
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// called waits until the newest calls of a kind are these, and no others came.
func (s *stage) called(of pair.Server, kind string, want ...string) {
	s.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if slices.Equal(s.calls(of, kind), want) {
			return
		}
		if time.Since(began) > patience {
			s.Fatalf("%s on %s was called with %q, want %q", kind, of, s.calls(of, kind), want)
		}
	}
}

func exitOf(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return 0
}

// A site's commands through a detach, an attach, a switch and a stop.
func TestSiteCommandsAreCalled(t *testing.T) {
	s := newStage(t, lab.Options{})
	no := filepath.Join(s.lab.Dir, "server1", "no")
	s.siteCommands("fencing post_switch pre_detach post_attach event", "[ ! -e "+no+" ] || exit 3; echo said by $0")

	if err := os.WriteFile(no, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := s.try("detach", "-M", s.lab.Mcdir(two))
	if exitOf(err) != 4 || !strings.Contains(out, "refused: fencing server2: exit status 3") || !strings.Contains(out, "--no-fencing") {
		t.Errorf("a detach whose fencing failed: %v\n%s", err, out)
	}
	if st := s.paired(one); st.Held {
		t.Error("the standby is held although the detach was refused")
	}
	s.called(one, "fencing", "command detach server1 server2 primarycenter")
	s.called(one, "pre_detach", "server1 primary server2 primarycenter")
	s.called(two, "pre_detach", "server2 standby server2 primarycenter")
	s.mcctl("detach", "--no-fencing", "-M", s.lab.Mcdir(two))
	s.called(one, "fencing", "command detach server1 server2 primarycenter")
	if err := os.Remove(no); err != nil {
		t.Fatal(err)
	}

	s.mcctl("attach", "-M", s.lab.Mcdir(one))
	s.called(one, "post_attach", "server1 primary server2 primarycenter")
	s.called(two, "post_attach", "server2 standby server2 primarycenter")
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.called(two, "post_switch", "server2 primarycenter")
	s.paired(two)
	s.called(two, "post_attach", "server2 standby server2 primarycenter", "server2 primary server1 primarycenter")
	s.called(one, "post_attach", "server1 primary server2 primarycenter", "server1 standby server1 primarycenter")

	s.mcctl("stop", "-M", s.lab.Mcdir(one))
	twice := []string{"server1 primary server2 primarycenter", "server1 primary server2 primarycenter", "server1 standby server1 primarycenter"}
	s.called(one, "pre_detach", twice...)
	s.called(two, "pre_detach", "server2 standby server2 primarycenter", "server2 standby server2 primarycenter", "server2 primary server1 primarycenter")
	log, err := os.ReadFile(filepath.Join(s.lab.Mcdir(one), "log", "mcctl.log"))
	if err != nil || !strings.Contains(string(log), `said by `+filepath.Join(s.lab.Mcdir(one), "pre_detach")) || !strings.Contains(string(log), "command=pre_detach") {
		t.Errorf("what a command printed is not in the log: %v", err)
	}
	if !slices.ContainsFunc(s.calls(two, "event"), func(c string) bool { return strings.HasPrefix(c, "server2 promote promote done in ") }) {
		t.Errorf("events told: %q", s.calls(two, "event"))
	}
	events := s.mcctl("events", "-M", s.lab.Mcdir(two))
	if !strings.Contains(events, `command post_switch ["server2" "primarycenter"]: exit status 0`) {
		t.Errorf("how post_switch ended is not in the journal:\n%s", events)
	}
	if _, err := os.Stat(filepath.Join(s.lab.Mcdir(one), "post_switch.calls")); err == nil {
		t.Errorf("post_switch was called on server1: %q", s.calls(one, "post_switch"))
	}
}

// After a fault a pre_detach that hangs holds up nothing: the primary is alone long
// before the command's time is over.
func TestHangingPreDetachDoesNotHoldUpAFault(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.siteCommands("pre_detach", "sleep 15")
	p := s.lab.Pids().Servers[two]
	s.kill(p.Watch, p.Supervisor, p.Postmaster)
	s.until("the primary went alone", one, func(st wire.Status) bool { return st.Record.Mode == pair.Alone })
	if _, err := os.Stat(filepath.Join(s.lab.Mcdir(one), "pre_detach.ends")); err == nil {
		t.Error("the detach waited for the command")
	}
	s.flowing()
	s.called(one, "pre_detach", "server1 primary server2 primarycenter")
}

// A forced switch goes by the fencing command.
func TestForcedSwitchIsFenced(t *testing.T) {
	s := newStage(t, lab.Options{Arbiter: "none"})
	no := filepath.Join(s.lab.Dir, "server1", "no")
	s.siteCommands("fencing", "[ ! -e "+no+" ] || exit 1")
	if err := os.WriteFile(no, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := s.lab.Pids().Servers[one]
	s.kill(p.Watch, p.Supervisor, p.Postmaster)
	s.until("the primary is missed", two, func(st wire.Status) bool { return st.Servers[0].Supervisor != "here" })
	out, err := s.try("switch", "--force", "--yes", "-M", s.lab.Mcdir(two))
	if exitOf(err) != 4 || !strings.Contains(out, "fencing server1: exit status 1") {
		t.Errorf("a forced switch whose fencing failed: %v\n%s", err, out)
	}
	if st, err := s.status(two); err != nil || st.Record.Term != 1 {
		t.Errorf("after that: %+v, %v", st.Record, err)
	}
	if err := os.Remove(no); err != nil {
		t.Fatal(err)
	}
	s.mcctl("switch", "--force", "--yes", "-M", s.lab.Mcdir(two))
	if st, err := s.status(two); err != nil || st.Record.Primary != two || !st.Record.Forced || !st.Switched {
		t.Errorf("after that: %+v, %v", st, err)
	}
	s.called(two, "fencing", "command switch server2 server1 primarycenter", "command switch server2 server1 primarycenter")
	s.flowing()
}

// A supervisor that is started anew, above a PostgreSQL that goes on, changes nothing:
// no detach, and no command of the site is called.
func TestSupervisorsStartedAnewCallNothing(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.siteCommands("post_switch pre_detach post_attach", ":")
	before := s.paired(one)
	for _, of := range []pair.Server{two, one, two} {
		s.mcctl("stop", "--mc-only", "-M", s.lab.Mcdir(of))
		s.mcctl("start", "-M", s.lab.Mcdir(of))
	}
	if st := s.paired(one); st.Record != before.Record {
		t.Errorf("the record was %s and is %s", before.Record, st.Record)
	}
	for _, of := range []pair.Server{one, two} {
		for _, kind := range []string{"post_switch", "pre_detach", "post_attach"} {
			if got := s.calls(of, kind); got[0] != "" {
				t.Errorf("%s on %s was called: %q", kind, of, got)
			}
		}
	}
	s.flowing()
}
