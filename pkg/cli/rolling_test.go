package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

func TestUpdatePlan(t *testing.T) {
	for _, c := range []struct {
		primary, back bool
		want          string
	}{
		{false, false, "check stop maintain start attach done"},
		{false, true, "check stop maintain start attach done"},
		{true, false, "check switch stop maintain start attach done"},
		{true, true, "check switch stop maintain start attach switch-back done"},
	} {
		if got := strings.Join(planUpdate(c.primary, c.back), " "); got != c.want {
			t.Errorf("primary %v, back %v: %s, want %s", c.primary, c.back, got, c.want)
		}
	}
}

func TestUpdateGoesOnWithTheStepUnderWay(t *testing.T) {
	u := &updateState{Server: "a", Steps: planUpdate(true, true), Step: updateMaintain}
	if got, want := u.left(), []string{"maintain", "start", "attach", "switch-back"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	for _, step := range u.Steps[:len(u.Steps)-1] {
		if u.stepText(step, "b") == "" {
			t.Errorf("step %s says nothing of itself", step)
		}
	}
	u.Step = updateDone
	if !u.final() || len(u.left()) != 0 {
		t.Errorf("done, but left are %q", u.left())
	}
}

func TestUpdateStateIsReadBack(t *testing.T) {
	dir := t.TempDir()
	if u, err := readUpdate(dir); u != nil || err != nil {
		t.Fatalf("without a file: %+v, %v", u, err)
	}
	want := &updateState{ID: "update-1", Began: time.Unix(5, 0).UTC(), Server: "a", Exec: "x", Steps: planUpdate(false, false), Step: updateStop, Tries: 2}
	if err := want.save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := readUpdate(dir)
	if err != nil || got.ID != want.ID || got.Step != want.Step || got.Tries != 2 || !got.Began.Equal(want.Began) || !slices.Equal(got.Steps, want.Steps) {
		t.Errorf("read back: %+v, %v", got, err)
	}
	if err := os.WriteFile(updateFile(dir), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readUpdate(dir); err == nil {
		t.Error("a broken file is read")
	}
}

func TestRollingUpdateFlags(t *testing.T) {
	got := parse(t, newRollingUpdate, "-M /tmp --exec true --switch-back --yes --timeout 3s")
	want := rollingOptions{Mcdir: "/tmp", Output: formText, Exec: "true", SwitchBack: true, Yes: true, Timeout: 3 * time.Second}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A run that was killed had asked for a switch, which begins after the next run has
// looked: that one's own is refused, and it waits for the one under way. The status of a
// standby, which is to be the primary again, does not tell of it.
func TestASwitchThatHasJustBegunIsWaitedFor(t *testing.T) {
	for _, onStandby := range []bool{false, true} {
		st := paired()
		s := newSupervisor(t, st)
		job, looks := wire.Job{ID: "switch-0-1", Kind: "switch", Phase: phaseDone, Final: true}, 0
		goOn := func() {
			if looks++; looks > 8 && job.ID == "switch-1-1" {
				job.Phase, job.Final = phaseDone, true
				st.Record.Primary, st.Record.Term = "server2", 2
			}
		}
		s.on(wire.KindJob, func(json.RawMessage) (any, error) { goOn(); return job, nil })
		s.on(wire.KindStatus, func(json.RawMessage) (any, error) {
			if goOn(); !onStandby {
				st.Job = &job
			}
			return st, nil
		})
		s.on(wire.KindSwitch, func(json.RawMessage) (any, error) {
			job, looks = wire.Job{ID: "switch-1-1", Kind: "switch", Phase: "checking"}, 0
			return nil, fmt.Errorf("%w: a switch is under way", wire.ErrRefused)
		})
		env := testEnv(&bytes.Buffer{}, &bytes.Buffer{})
		u := &updater{env: env, o: &rollingOptions{Mcdir: s.mcdir}, control: control{s.mcdir}, quiet: env, updateState: &updateState{}}
		if err := u.switchTo(t.Context(), "server2"); err != nil || s.count(wire.KindSwitch) != 1 {
			t.Errorf("on a standby %t: asked %d times, and then: %v", onStandby, s.count(wire.KindSwitch), err)
		}
		s.on(wire.KindSwitch, func(json.RawMessage) (any, error) { return nil, fmt.Errorf("%w: a stop is under way", wire.ErrRefused) })
		if err := u.switchTo(t.Context(), "server1"); !errors.Is(err, wire.ErrRefused) {
			t.Errorf("refused for another reason: %v", err)
		}
	}
}

// updating is a supervisor of server1, whose update has come to a step.
func updating(t *testing.T, st wire.Status, primary bool, step string) *supervisor {
	t.Helper()
	s := newSupervisor(t, st)
	writeConfig(t, s.mcdir)
	write(t, filepath.Join(s.mcdir, "ca"), "")
	write(t, filepath.Join(s.mcdir, "crt"), "")
	release, err := claim(watchFile(s.mcdir)) // else it would have ended, by its files
	u := &updateState{ID: "update-1", Server: "server1", Primary: primary, Steps: planUpdate(primary, false), Step: step}
	if err := errors.Join(err, u.save(s.mcdir)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return s
}

// asStandby is the pair as server1 sees it when it is the standby.
func asStandby() wire.Status {
	st := paired()
	st.Record.Primary, st.Servers[0].Role, st.Servers[1].Role = "server2", pair.Standby, pair.Primary
	st.Servers[0].Postgres, st.Servers[1].Postgres = wire.ReportStandby, wire.ReportOpen
	return st
}

func TestASwitchBackIsPlannedLater(t *testing.T) {
	s := updating(t, asStandby(), true, updateAttach)
	mcctl(t.Context(), "rolling-update", "--switch-back", "--dry-run", "-M", s.mcdir).wants(t, exitDone, "  switch-back  make server1 the primary again")
}

func TestAStandbyIsNotSwitchedBackTo(t *testing.T) {
	s := updating(t, asStandby(), false, updateAttach)
	mcctl(t.Context(), "rolling-update", "--switch-back", "-M", s.mcdir).wants(t, exitRefused, "--switch-back is for the primary, which server1 is not", "it is for the update of server2")
	if u, err := readUpdate(s.mcdir); err != nil || u.Step != updateAttach || u.Note != "" {
		t.Errorf("it was touched: %+v, %v", u, err)
	}
}

func TestStatusWithoutAnUpdate(t *testing.T) {
	s := newSupervisor(t, paired())
	writeConfig(t, s.mcdir)
	got := mcctl(t.Context(), "rolling-update", "--status", "-o", "json", "-M", s.mcdir)
	got.wants(t, exitDone, "no rolling update was made here")
	same(t, got.stdout, `{"event":"none"}`+"\n")
}

// A script takes 3 for the word to begin the maintenance.
func TestOnlyTheOperatorsTurnEndsWithGoingOn(t *testing.T) {
	s := updating(t, asStandby(), false, updateMaintain)
	s.on(wire.KindStop, func(json.RawMessage) (any, error) {
		time.Sleep(time.Second) // longer than the command waits
		return nil, fmt.Errorf("%w: too late", wire.ErrRefused)
	})
	mcctl(t.Context(), "rolling-update", "--timeout", "200ms", "-M", s.mcdir).wants(t, exitFailed, "in step maintain: stop: not complete after 200ms; it goes on")
}

func TestAMaintenanceThatHasNotBegunIsNotDone(t *testing.T) {
	s := updating(t, paired(), true, updateSwitch)
	mcctl(t.Context(), "rolling-update", "--done", "-M", s.mcdir).wants(t, exitRefused, "it is in step switch, before the maintenance", "mcctl rolling-update -M "+s.mcdir)
	if n := s.count(wire.KindStatus); n != 0 {
		t.Errorf("the supervisor was asked %d times", n)
	}
}

// The checkpoints of a switch may take minutes, and --timeout says how many.
func TestASwitchHasTheTimeOfAStep(t *testing.T) {
	s := newSupervisor(t, paired())
	job := wire.Job{ID: "switch-3-1", To: "server2", Phase: "checkpointing"}
	s.on(wire.KindSwitch, func(json.RawMessage) (any, error) {
		s.on(wire.KindJob, func(json.RawMessage) (any, error) { return job, nil })
		return job, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	env := testEnv(&bytes.Buffer{}, &bytes.Buffer{})
	u := &updater{env: env, o: &rollingOptions{Mcdir: s.mcdir, Timeout: 200 * time.Millisecond}, control: control{s.mcdir}, quiet: env, updateState: &updateState{}}
	if err := u.switchTo(ctx, "server2"); err == nil || ctx.Err() != nil || s.count(wire.KindCancel) != 0 {
		t.Errorf("after --timeout: %v", err)
	}
}

// Whoever gives the rest up wants to know whether this server serves.
func TestAbortTellsOfAServerThatDoesNotServe(t *testing.T) {
	refusing := asStandby()
	refusing.Servers[0].Postgres, refusing.Servers[0].Lasting, refusing.Servers[0].Problem = wire.ReportDown, true, "PostgreSQL refuses its configuration"
	stopping := asStandby()
	stopping.Servers[0].Rule = 101
	for _, c := range []struct {
		says, timeout string
		st            wire.Status
	}{{"PostgreSQL refuses its configuration", "30s", refusing}, {"not done after 300ms", "300ms", stopping}} {
		s := updating(t, c.st, false, updateStart)
		got := mcctl(t.Context(), "rolling-update", "--abort", "--timeout", c.timeout, "-M", s.mcdir)
		got.wants(t, exitFailed, c.says)
		if _, err := os.Stat(updateFile(s.mcdir)); err != nil || strings.Contains(got.stdout, "given up") {
			t.Errorf("it is forgotten: %v\n%s", err, got)
		}
	}
	s := updating(t, asStandby(), false, updateStart)
	mcctl(t.Context(), "rolling-update", "--abort", "-M", s.mcdir).wants(t, exitDone, "given up in step start; server1 is started as it is")
	if _, err := os.Stat(updateFile(s.mcdir)); err == nil {
		t.Error("it is not forgotten")
	}
}

// A stop that was begun goes on when its command has gone; the start comes after it.
func TestAStartComesAfterAStop(t *testing.T) {
	st := asStandby()
	s := updating(t, st, false, updateStop)
	s.on(wire.KindStatus, func(json.RawMessage) (any, error) {
		st.Servers[0].Rule = 390
		if s.count(wire.KindStatus) < 4 {
			st.Servers[0].Rule = 101
		}
		return st, nil
	})
	mcctl(t.Context(), "rolling-update", "--abort", "-M", s.mcdir).wants(t, exitDone, "server1 is started as it is")
	if n := s.count(wire.KindStatus); n < 4 {
		t.Errorf("after %d looks it did not wait for the end of the stop", n)
	}
}

// A standby that would not be attached again is not taken out of service.
func TestNoUpdateIsBegunBesideAnOperatorsDetach(t *testing.T) {
	st := asStandby()
	st.Held = true
	s := updating(t, st, false, updateCheck)
	mcctl(t.Context(), "rolling-update", "--exec", "true", "--yes", "-M", s.mcdir).wants(t, exitRefused, "an operator has detached the standby", "mcctl attach -M "+s.mcdir)
	if n := s.count(wire.KindStop); n != 0 {
		t.Errorf("a stop was asked for %d times", n)
	}
}

// An update that was left after its maintenance does not run another one, and must not end as
// if it had.
func TestAnotherMaintenanceIsNotTakenForTheOneThatWasDone(t *testing.T) {
	s := updating(t, asStandby(), false, updateAttach)
	u, err := readUpdate(s.mcdir)
	if err != nil {
		t.Fatal(err)
	}
	u.Exec = "/old"
	if err := u.save(s.mcdir); err != nil {
		t.Fatal(err)
	}
	mcctl(t.Context(), "rolling-update", "--exec", "/new", "--yes", "-M", s.mcdir).wants(t, exitRefused, "is in step attach, and its maintenance was another: /old", "mcctl rolling-update --abort -M "+s.mcdir)
	mcctl(t.Context(), "rolling-update", "--exec", "/old", "--dry-run", "-M", s.mcdir).wants(t, exitDone, "the maintenance was run already, and is not run again")
}

// The hint after a check that failed names the command without options.
func TestTheWayBackIsNotForgottenInTheCheck(t *testing.T) {
	s := updating(t, paired(), true, updateCheck)
	u := &updateState{ID: "update-1", Server: "server1", Primary: true, Steps: planUpdate(true, true), Step: updateCheck}
	if err := u.save(s.mcdir); err != nil {
		t.Fatal(err)
	}
	mcctl(t.Context(), "rolling-update", "--dry-run", "-M", s.mcdir).wants(t, exitDone, "  switch-back  make server1 the primary again")
}
