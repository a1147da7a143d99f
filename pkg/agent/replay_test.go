package agent

import (
	"context"
	"testing"

	"mcctl/pkg/act"
	"mcctl/pkg/board"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// resumes counts how often replay was resumed.
type resumes struct {
	act.Session
	times chan error
}

func (r resumes) ResumeReplay(context.Context) error { return <-r.times }
func (r resumes) Alive() bool                        { return true }

// A pause that an earlier life of the supervisor has left is ended, once, and again as
// long as that fails. One that comes later is an operator's, and one that an attach proof
// holds is needed.
func TestAPauseThatWasLeftIsEnded(t *testing.T) {
	a := someAgent(t)
	session := resumes{times: make(chan error)}
	a.replay.warm = newWarm(a.clock.Mutex(), func(context.Context) (act.Session, error) { return session, nil })
	paused := board.Sight{PID: 7, LookAt: wire.Now(), Look: postgres.Look{InRecovery: true, ReplayPaused: true}}
	flows := paused
	flows.Look.ReplayPaused = false
	resumed := func(err error) {
		t.Helper()
		a.endLeftPause(paused)
		session.times <- err
		eventually(t, "that is over", func() bool { return !a.pauses.resuming.Load() })
	}
	resumed(errPlanned)
	resumed(nil)
	a.endLeftPause(paused) // of before that
	if a.pauses.resuming.Load() {
		t.Error("resumed, and resumed again")
	}
	a.pauses.left.Store(true)
	a.endLeftPause(flows)
	a.endLeftPause(paused)
	if a.pauses.resuming.Load() {
		t.Error("an operator's pause is ended")
	}
	a.pauses.left.Store(true)
	a.pauses.held.Store(true)
	a.endLeftPause(paused)
	if a.pauses.resuming.Load() {
		t.Error("the pause of an attach proof is ended")
	}
}
