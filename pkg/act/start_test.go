package act

import (
	"context"
	"sync/atomic"
	"testing"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

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
