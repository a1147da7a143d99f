package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

func untilEnd(ctx context.Context) error {
	<-ctx.Done()
	return errors.New("told too late")
}

func TestTheFirstErrorIsTheGroups(t *testing.T) {
	g := newGroup()
	g.start(t.Context())
	g.run("bystander", untilEnd)
	g.run("finished", func(context.Context) error { return nil })
	g.run("culprit", func(context.Context) error { return errPlanned })
	_, err := g.wait(time.Minute)
	if !errors.Is(err, errPlanned) || !strings.HasPrefix(err.Error(), "culprit: ") {
		t.Errorf("the group ended with %v", err)
	}
}

func TestAGroupEndsInGoodOrder(t *testing.T) {
	for name, end := range map[string]func(*group, context.CancelFunc){
		"stopped":              func(g *group, _ context.CancelFunc) { g.stop(errDone) },
		"its parent has ended": func(_ *group, cancel context.CancelFunc) { cancel() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		g := newGroup()
		g.start(ctx)
		g.run("bystander", untilEnd)
		end(g, cancel)
		if _, err := g.wait(time.Minute); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

func TestAGroupLeavesBehindWhatHangs(t *testing.T) {
	g, hung := newGroup(), make(chan struct{})
	g.start(t.Context())
	g.run("bystander", untilEnd)
	g.run("reload", func(context.Context) error { <-hung; return nil })
	g.stop(errDone)
	left, err := g.wait(100 * time.Millisecond)
	ok(t, err)
	if left != "reload" {
		t.Errorf("left behind: %s", left)
	}
	close(hung)
	if left, err = g.wait(time.Minute); left != "" || err != nil {
		t.Errorf("left behind: %s, %v", left, err)
	}
}

func TestAGroupGoesOnWithoutThoseWhoHaveFinished(t *testing.T) {
	g := newGroup()
	g.start(t.Context())
	finished := make(chan struct{})
	g.run("finished", func(context.Context) error { defer close(finished); return nil })
	received(t, finished)
	if err := g.ctx.Err(); err != nil {
		t.Errorf("the group ended: %v", context.Cause(g.ctx))
	}
	g.stop(errDone)
	_, err := g.wait(time.Minute)
	ok(t, err)
}

// heardLog is a log that can be read while it is written.
type heardLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *heardLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *heardLog) contains(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), what)
}

func logTo(l *heardLog) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func TestBackgroundFailuresEndNothing(t *testing.T) {
	var log heardLog
	a := &Agent{group: newGroup(), log: logTo(&log)}
	a.group.start(t.Context())
	a.background("tidying up", func(context.Context) error { return errPlanned })
	eventually(t, "the failure is told", func() bool {
		return log.contains("tidying up failed") && log.contains(errPlanned.Error())
	})
	if a.group.ctx.Err() != nil {
		t.Errorf("the group ended: %v", context.Cause(a.group.ctx))
	}
	a.background("cut off", untilEnd)
	a.group.stop(errDone)
	ok(t, a.part()) // also waits for what runs in the background
	if log.contains("cut off") {
		t.Error("what ends with the supervisor has not failed")
	}
}
