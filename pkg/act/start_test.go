package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
)

// Started while somebody saves postgresql.conf, a server may have met a half without its
// port. It is stopped again; the next start finds the whole.
func TestAServerThatNobodyReachesIsStoppedAgain(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Alone))
	conf, s := h.Config.Server.ConfigFile, h.Config.Server.Postgres
	whole := content(t, conf)
	half := strings.Replace(whole, fmt.Sprintf("port = %d", s.Port), fmt.Sprintf("port = %d", freePort(t)), 1)
	ok(t, os.WriteFile(conf, []byte(half), 0o600))
	if err := h.StartOpen(within(t)); !errors.Is(err, postgres.ErrElsewhere) {
		t.Errorf("half a file: %v", err)
	}
	if pid, running := h.Postgres.Postmaster(); running {
		t.Errorf("it still runs as %d", pid)
	}
	ok(t, os.WriteFile(conf, []byte(whole), 0o600))
	ok(t, h.StartOpen(within(t)))
}

// counted counts the sessions that are opened.
type counted struct {
	instance
	sessions atomic.Int64
}

func (c *counted) Connect(ctx context.Context) (Session, error) {
	c.sessions.Add(1)
	return c.instance.Connect(ctx)
}

// A standby starts while its primary waits for it, or is not there at all: it is asked
// over one session.
func TestAStandbyIsSeenToOverOneSession(t *testing.T) {
	h, _ := newHands(t, record.Record{Pair: "p", Term: 4, Primary: "server2", Mode: pair.Alone, Revision: 9})
	c := &counted{instance: h.Postgres.(instance)}
	h.Postgres = c
	ok(t, h.StartStandby(within(t)))
	if n := c.sessions.Load(); n != 1 {
		t.Errorf("%d sessions were opened", n)
	}
	h.Postgres = c.instance
	session, err := h.Postgres.Connect(within(t))
	ok(t, err)
	defer session.Close()
	if seen, err := session.Look(within(t), "server2"); err != nil || !seen.InRecovery {
		t.Errorf("it is no standby: %v", err)
	}
}

// A start behind the gate is left off where only this server can hand over. That is no
// failure of PostgreSQL's.
func TestAStartThatIsLeftOffHasNotFailed(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Paired))
	pid := started(t, h)
	freeze(t, pid)
	defer func() { ok(t, syscall.Kill(pid, syscall.SIGCONT)) }()
	ctx, cancel := context.WithCancel(within(t))
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := h.StartGated(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a postmaster that answers nobody has started: %v", err)
	}
	if n := h.Board.Read().StartsFailed; n != 0 {
		t.Errorf("%d starts count as failed", n)
	}
}
