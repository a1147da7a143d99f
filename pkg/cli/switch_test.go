package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mcctl/pkg/wire"
)

// script is a switch that goes on by one phase each time it is asked about.
type script struct {
	*supervisor
	mu     sync.Mutex
	job    wire.Job
	phases []string // still to come; the last one stays
}

func newScript(t *testing.T, phases ...string) *script {
	t.Helper()
	s := &script{supervisor: newSupervisor(t, paired()), phases: phases}
	s.on(wire.KindSwitch, func(json.RawMessage) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.job = wire.Job{ID: "switch-3-1a", Kind: "switch", From: "server1", To: "server2", Term: 4}
		return s.enter("checking"), nil
	})
	s.on(wire.KindJob, func(json.RawMessage) (any, error) { return s.next(), nil })
	s.on(wire.KindCancel, func(json.RawMessage) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.job.Committed {
			return nil, errors.New("it is past its point of no return")
		}
		s.phases = []string{"given-up"}
		return s.job, nil
	})
	return s
}

func (s *script) plan(phases ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phases = phases
}

func (s *script) next() wire.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.phases) == 0 {
		return s.job
	}
	phase := s.phases[0]
	s.phases = s.phases[1:]
	return s.enter(phase)
}

func (s *script) enter(phase string) wire.Job {
	s.job.Phase = phase
	s.job.Steps = append(slices.Clone(s.job.Steps), wire.JobStep{Phase: phase, AtMS: float64(10 * len(s.job.Steps))})
	s.job.Committed = s.job.Committed || phase == "promoting"
	s.job.Final = phase == "done" || phase == "given-up" || phase == "failed"
	if phase == "failed" {
		s.job.Error = "the disk is full"
	}
	return s.job
}

func (s *script) phase() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.job.Phase
}

// moved is the pair after the switch.
func moved() wire.Status {
	st := paired()
	st.Record.Term, st.Record.Primary, st.Record.Revision = 4, "server2", 13
	st.Servers[0].Role, st.Servers[0].Postgres = "standby", "standby"
	st.Servers[1].Role, st.Servers[1].Postgres = "primary", "open"
	return st
}

func TestSwitchFollowsPhases(t *testing.T) {
	s := newScript(t, "checkpoint", "closing", "handing-over", "promoting", "done")
	got := mcctl(t.Context(), "switch", "-M", s.mcdir)
	got.wants(t, exitDone)
	same(t, got.stdout, `
switch-3-1a: switching from server1 to server2
       0 ms  checking
      10 ms  checkpoint
      20 ms  closing
      30 ms  handing-over
      40 ms  promoting
      50 ms  done
server2 is primary in term 4, after 50 ms
`)
	got = mcctl(t.Context(), "switch", "--status", "-M", s.mcdir)
	got.wants(t, exitDone, "switch-3-1a from server1 to server2: done\n", "      50 ms  done\n")

	s.plan("checkpoint", "promoting", "done")
	got = mcctl(t.Context(), "switch", "-M", s.mcdir, "-o", "json")
	got.wants(t, exitDone)
	var job wire.Job
	if err := json.Unmarshal([]byte(got.stdout), &job); err != nil || job.Phase != "done" || len(job.Steps) != 4 {
		t.Errorf("%v, %+v in:\n%s", err, job, got)
	}
}

func TestSwitchFails(t *testing.T) {
	s := newScript(t, "checkpoint", "failed")
	mcctl(t.Context(), "switch", "-M", s.mcdir).wants(t, exitFailed, "mcctl: switch: failed: the disk is full")
	mcctl(t.Context(), "switch", "--status", "switch-3-1a", "-M", s.mcdir).wants(t, exitFailed, "switch-3-1a from server1 to server2: failed: the disk is full")
	s.on(wire.KindSwitch, func(json.RawMessage) (any, error) {
		return nil, fmt.Errorf("the standby is not attached: %w", wire.ErrRefused)
	})
	mcctl(t.Context(), "switch", "-M", s.mcdir).wants(t, exitRefused, "mcctl: switch: the standby is not attached", "mcctl explain")
}

// At the timeout the command ends and says so; the switch does not.
func TestSwitchTruthAtTimeout(t *testing.T) {
	s := newScript(t, "checkpoint", "closing")
	got := mcctl(t.Context(), "switch", "--timeout", "200ms", "-M", s.mcdir)
	got.wants(t, exitGoingOn, "the switch goes on, in phase closing", "mcctl switch --status switch-3-1a -M "+s.mcdir, "mcctl switch --cancel switch-3-1a")
	mcctl(t.Context(), "switch", "--status", "-M", s.mcdir).wants(t, exitGoingOn, "closing")
	mcctl(t.Context(), "switch", "--cancel", "-M", s.mcdir).wants(t, exitDone, "given up; server1 stays primary")
}

func TestSwitchNoWait(t *testing.T) {
	s := newScript(t, "checkpoint")
	mcctl(t.Context(), "switch", "--no-wait", "-M", s.mcdir).wants(t, exitDone, "follow it: mcctl switch --status switch-3-1a -M "+s.mcdir)
	if s.count(wire.KindJob) != 0 {
		t.Error("it was followed")
	}
}

// follow runs a switch and calls meanwhile as soon as the phase is reached.
func follow(t *testing.T, s *script, phase string, meanwhile func(cancel func()), args ...string) shot {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan shot, 1)
	go func() { ended <- mcctl(ctx, append([]string{"switch", "-M", s.mcdir}, args...)...) }()
	for limit := time.Now().Add(20 * time.Second); s.phase() != phase; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("phase %s was not reached", phase)
		}
	}
	meanwhile(cancel)
	return <-ended
}

func TestSwitchInterrupted(t *testing.T) {
	s := newScript(t, "checkpoint", "closing")
	got := follow(t, s, "closing", func(cancel func()) { cancel() })
	got.wants(t, exitFailed, "interrupted; giving the switch up", "given up before the point of no return; server1 stays primary")
	if n := s.count(wire.KindCancel); n != 1 {
		t.Errorf("asked %d times to give up", n)
	}

	s = newScript(t, "promoting", "promoting", "promoting", "promoting")
	got = follow(t, s, "promoting", func(cancel func()) {
		cancel()
		for s.count(wire.KindCancel) == 0 {
			time.Sleep(time.Millisecond)
		}
		s.plan("done")
	})
	got.wants(t, exitDone, "the switch cannot be given up", "past its point of no return", "server2 is primary in term 4")
}

// The supervisor dies and comes back without knowing the job: the record tells.
func TestSwitchSupervisorLost(t *testing.T) {
	undecided := paired()
	undecided.Arbiter.Reached = false
	for _, c := range []struct {
		name    string
		after   wire.Status
		timeout string
		status  exitStatus
		text    string
	}{
		{"switched", moved(), "30s", exitDone, "server2 is primary in term 4"},
		{"not switched", paired(), "30s", exitFailed, "it did not take place"},
		{"not known", undecided, "3s", exitGoingOn, "the switch goes on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(t, "checkpoint", "closing")
			got := follow(t, s, "closing", func(func()) {
				s.stop()
				time.Sleep(300 * time.Millisecond)
				s.on(wire.KindStatus, func(json.RawMessage) (any, error) { return c.after, nil })
				s.on(wire.KindJob, func(json.RawMessage) (any, error) { return nil, errors.New("no such job") })
				s.start(t)
			}, "--timeout", c.timeout)
			got.wants(t, c.status, "the supervisor does not answer", "the supervisor answers again", c.text)
			if n := strings.Count(got.stdout, "does not answer"); n != 1 {
				t.Errorf("told %d times:\n%s", n, got)
			}
		})
	}
}

// Asked on the standby, whose primary dies: the one that knows the job is not reached, and the
// record tells that this server has taken over.
func TestASwitchWhosePrimaryDies(t *testing.T) {
	s := newScript(t, "checkpoint", "closing")
	got := follow(t, s, "closing", func(func()) {
		s.on(wire.KindJob, func(json.RawMessage) (any, error) { return nil, fmt.Errorf("ask server1: %w", wire.ErrNoAnswer) })
		time.Sleep(100 * time.Millisecond)
		s.on(wire.KindStatus, func(json.RawMessage) (any, error) { return moved(), nil })
	}, "--timeout", "30s")
	got.wants(t, exitDone, "the supervisor of server2 does not answer", "server2 is primary in term 4")
	if strings.Contains(got.stdout, "answers again") {
		t.Errorf("nobody answered again:\n%s", got)
	}
}

// The supervisor here answers all the time: it is not told to be the one that does not.
func TestSwitchTellsWhoDoesNotAnswer(t *testing.T) {
	s := newScript(t, "checkpoint", "closing")
	got := follow(t, s, "closing", func(func()) {
		s.on(wire.KindJob, func(json.RawMessage) (any, error) { return nil, fmt.Errorf("ask server2: %w", wire.ErrNoAnswer) })
	}, "--timeout", "1s")
	got.wants(t, exitGoingOn, "the supervisor of server2 does not answer", "the switch goes on, or not: the supervisor of server2 does not answer\n")
}

func TestSwitchSupervisorLostForGood(t *testing.T) {
	s := newScript(t, "checkpoint", "closing")
	got := follow(t, s, "closing", func(func()) { s.stop() }, "--timeout", "3s")
	got.wants(t, exitGoingOn, "or not: the supervisor does not answer", "mcctl switch --status switch-3-1a")
}

// The answer to the request is lost: the switch may have begun, or not.
func TestSwitchAnswerLost(t *testing.T) {
	s := newScript(t)
	begin := s.answers[wire.KindSwitch]
	s.on(wire.KindSwitch, func(body json.RawMessage) (any, error) {
		_, _ = begin(body)
		s.plan("checkpoint", "done")
		return nil, fmt.Errorf("ask the primary: %w", wire.ErrNoAnswer)
	})
	mcctl(t.Context(), "switch", "-M", s.mcdir).wants(t, exitDone, "server2 is primary in term 4, after 20 ms")

	before := paired()
	before.Job = &wire.Job{ID: "switch-2-0", Phase: "done", Final: true}
	s.on(wire.KindStatus, func(json.RawMessage) (any, error) { return before, nil })
	s.on(wire.KindSwitch, func(json.RawMessage) (any, error) { return nil, wire.ErrNoAnswer })
	s.on(wire.KindJob, func(json.RawMessage) (any, error) { return *before.Job, nil })
	got := mcctl(t.Context(), "switch", "-M", s.mcdir)
	got.wants(t, exitFailed, "it did not take place")
	if strings.Contains(got.stdout, "switch-2-0") {
		t.Errorf("an older switch was taken for ours:\n%s", got)
	}
}

// The other server's newest job is of an earlier reign, and this one knows none.
func TestAnOlderSwitchOfTheOtherServerIsNotOurs(t *testing.T) {
	s := newSupervisor(t, paired())
	s.on(wire.KindSwitch, func(json.RawMessage) (any, error) { return nil, wire.ErrNoAnswer })
	s.on(wire.KindJob, func(json.RawMessage) (any, error) {
		return wire.Job{ID: "switch-2-0", Phase: "done", Final: true, Term: 3, To: "server1"}, nil
	})
	mcctl(t.Context(), "switch", "-M", s.mcdir).wants(t, exitFailed, "it did not take place")
}

// Nobody knows the job by its name, but a server is at it.
func TestASwitchThatIsBeingMadeIsNotTakenForOneThatWasNot(t *testing.T) {
	st := paired()
	st.Summary = wire.SummarySwitching
	s := newSupervisor(t, st)
	s.on(wire.KindSwitch, func(json.RawMessage) (any, error) { return nil, wire.ErrNoAnswer })
	s.on(wire.KindJob, func(json.RawMessage) (any, error) { return nil, errors.New("no such job") })
	mcctl(t.Context(), "switch", "--timeout", "1500ms", "-M", s.mcdir).wants(t, exitGoingOn, "whether the switch goes on is not known\n")
}

// Nobody is told what may be lost where nothing can be: there it is refused.
func TestSwitchForceWithoutNeed(t *testing.T) {
	s := newSupervisor(t, paired())
	mcctl(t.Context(), "switch", "--force", "-M", s.mcdir).
		wants(t, exitRefused, "mcctl: switch --force: refused: server1 is primary already\nhint: nothing was changed\n")
	standby := paired()
	standby.Local = "server2"
	s.on(wire.KindStatus, func(json.RawMessage) (any, error) { return standby, nil })
	got := mcctl(t.Context(), "switch", "--force", "--yes", "-M", s.mcdir)
	got.wants(t, exitRefused, "mcctl: switch --force: refused: server1 is open and reached: use mcctl switch without --force\n")
	if s.count(wire.KindSwitch) != 0 || strings.Contains(got.stdout, "lost") {
		t.Errorf("it was asked for %d times, and said:\n%s", s.count(wire.KindSwitch), got)
	}
}

// A primary that may not go on by itself, with PostgreSQL open and commits that hang.
func TestSwitchForceOfAPrimaryThatWaits(t *testing.T) {
	waits := paired()
	waits.Arbiter = wire.ArbiterStatus{Kind: "command"}
	waits.Servers[1].Supervisor = "lost"
	s := newSupervisor(t, waits)
	got := mcctl(t.Context(), "switch", "--force", "-M", s.mcdir)
	got.wants(t, exitRefused, "server1 will go on without server2 by force; the record is: ", "server2 may have taken over while server1 was not here: then what it acknowledged IS LOST", "not done without --yes")
	if strings.Contains(got.stdout, "went alone") {
		t.Errorf("it says of server1 what was meant for another:\n%s", got)
	}
	s.on(wire.KindSwitch, func(json.RawMessage) (any, error) {
		forced := alone()
		forced.Record.Term++
		s.on(wire.KindStatus, func(json.RawMessage) (any, error) { return forced, nil })
		return wire.Job{ID: "force-4", Kind: "force", Phase: "promoting", Committed: true, To: "server1", Term: uint64(forced.Record.Term)}, nil
	})
	s.on(wire.KindJob, func(json.RawMessage) (any, error) { return nil, errors.New("no switch is known here") })
	mcctl(t.Context(), "switch", "--force", "--yes", "-M", s.mcdir).wants(t, exitDone, "force-4: server1 goes on by force\n", "server1 is primary in term 4")
}

// The data of an old primary, which nobody starts: its log position says nothing of what it lacks.
func TestSwitchForceOfAnOldPrimary(t *testing.T) {
	before := alone()
	before.Local = "server2"
	before.Servers[0].Supervisor, before.Servers[0].Postgres, before.Servers[1].Postgres = "lost", "silent", "down"
	s := newSupervisor(t, before)
	got := mcctl(t.Context(), "switch", "--force", "-M", s.mcdir)
	got.wants(t, exitRefused, "nothing that was written since server1 took over is here: all of it IS LOST", "mcctl rebuild there", "not done without --yes")
	if strings.Contains(got.stdout, "makes it a standby") {
		t.Errorf("it says:\n%s", got)
	}
}

func TestSwitchForce(t *testing.T) {
	s := newSupervisor(t, wire.Status{})
	before := alone()
	before.Local = "server2"
	before.Servers[0].Supervisor = "lost"
	before.Servers[1].LSN = 0x2000000
	s.on(wire.KindStatus, func(json.RawMessage) (any, error) { return before, nil })
	got := mcctl(t.Context(), "switch", "--force", "-M", s.mcdir)
	got.wants(t, exitRefused, "those that server2 does not have ARE LOST", "16.0 MB of log are known to be missing",
		"mcctl: switch --force: not done without --yes\nhint: if losing that is right, repeat the command with --yes\n")
	if s.count(wire.KindSwitch) != 0 {
		t.Fatal("it was done without --yes")
	}
	s.on(wire.KindSwitch, func(body json.RawMessage) (any, error) {
		if string(body) != `{"force":true}` {
			t.Errorf("asked %s", body)
		}
		taken := moved()
		taken.Servers[1].Postgres = "standby"
		s.on(wire.KindStatus, func(json.RawMessage) (any, error) {
			if s.count(wire.KindStatus) > 5 { // promoted at last
				taken.Servers[1].Postgres = "open"
			}
			return taken, nil
		})
		s.on(wire.KindJob, func(json.RawMessage) (any, error) { return nil, errors.New("no such job") })
		return wire.Job{ID: "force-4", Kind: "force", Phase: "done", Final: true, Committed: true, To: "server2", Term: 4}, nil
	})
	mcctl(t.Context(), "switch", "--force", "--yes", "-M", s.mcdir).wants(t, exitDone, "server2 is primary in term 4")
	if n := s.count(wire.KindStatus); n < 6 {
		t.Errorf("it did not wait until server2 was open: asked %d times", n)
	}
}

// The fencing command takes longer than whoever asked waits for an answer. The supervisor
// goes on: that the record is as it was says nothing of what is to come.
func TestForceWhoseAnswerIsLateGoesOn(t *testing.T) {
	before := alone()
	before.Local = "server2"
	s := newSupervisor(t, before)
	fencing := make(chan struct{})
	defer close(fencing)
	s.on(wire.KindSwitch, func(json.RawMessage) (any, error) {
		<-fencing
		return nil, wire.ErrNoAnswer
	})
	s.on(wire.KindJob, func(body json.RawMessage) (any, error) {
		if string(body) != `{"local":true}` {
			t.Errorf("asked for %s, which the other server may have to answer", body)
		}
		return nil, errors.New("no switch is known here")
	})
	var out bytes.Buffer
	f := newFollower(testEnv(&out, &out), &switchOptions{Mcdir: s.mcdir, Output: formText, Force: true, Timeout: 2 * unchangedFor}, before)
	impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.begin(impatient); err != nil {
		t.Fatal(err)
	}
	end := func(err error) shot { return shot{report(&out, err), out.String(), ""} }
	end(f.begun(t.Context())).wants(t, exitGoingOn, "whether server2 takes over is not known yet: the fencing command may still be running")
	end(f.follow(t.Context())).wants(t, exitGoingOn, "whether server2 takes over is not known yet: the fencing command may still be running", "mcctl status --watch -M "+s.mcdir)
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	time.AfterFunc(100*time.Millisecond, func() { s.on(wire.KindStatus, func(json.RawMessage) (any, error) { return moved(), nil }) })
	end(f.follow(interrupted)).wants(t, exitDone, "interrupted, but a takeover by force cannot be given up", "server2 is primary in term 4")
	if s.count(wire.KindCancel) != 0 {
		t.Error("another switch might have been given up")
	}
	f.job = wire.Job{ID: "force-4", Phase: "handing-over"} // no answer of the arbiter
	end(f.goesOn(interrupted)).wants(t, exitGoingOn, "mcctl: switch: interrupted; ", "hint: follow it: mcctl switch --status force-4 -M "+s.mcdir+"\n")
	end(f.goesOn(t.Context())).wants(t, exitGoingOn, "mcctl: switch: the command's time is over; ")
}
