package wire

import (
	"context"
	"encoding/binary"
	"time"
)

// beater sends the heartbeats of one connection. Its fields belong to stay.
type beater struct {
	link     *Link
	conn     *Conn
	answered chan struct{} // the outstanding report was answered
	// waiting: a report is outstanding. again: a kick came meanwhile.
	waiting, again bool
}

// stay sends heartbeats over c until it ends, and returns why it ended.
func (l *Link) stay(ctx context.Context, c *Conn) error {
	b := &beater{link: l, conn: c, answered: make(chan struct{}, 1)}
	go c.listen(b.heard) // ends with c, before stay does
	stop := context.AfterFunc(ctx, func() { shut(c.conn) })
	defer stop()
	tick := time.NewTimer(ToTick(l.cfg.Interval))
	defer tick.Stop()
	for due := true; ; {
		if due {
			b.beat()
		}
		select {
		case <-c.done:
			return c.lost()
		case <-tick.C:
			due = true
			tick.Reset(ToTick(l.cfg.Interval))
		case <-l.kick:
			due, b.again = !b.waiting, b.waiting
		case <-b.answered:
			due, b.again, b.waiting = b.again, false, false
		}
	}
}

// beat sends a report or a bare heartbeat. A failed write ends the connection, and
// its reader knows the better reason, so errors need no attention here.
func (b *beater) beat() {
	if !b.waiting {
		if kind, body := b.link.cfg.Beat(); body != nil {
			_, err := b.conn.send(kind, body, func(e envelope) { b.answer(kind, e) })
			b.waiting = err == nil
			return
		}
	}
	word := bare
	if b.quiet() {
		word = asking
	}
	_ = b.conn.write(binary.BigEndian.AppendUint32(nil, word))
}

// quiet reports that nothing was heard for so long that the other side should be
// asked for a sign of life: half of Timeout, to leave time for the sign to arrive.
func (b *beater) quiet() bool {
	cfg, state := b.link.cfg, b.link.State()
	return !state.Connected || Now()-state.LastHeard+cfg.Interval/2 >= cfg.Timeout/2
}

// heard notes a frame. Called by the connection's reader.
func (b *beater) heard(word uint32, e envelope) {
	l := b.link
	l.update(func(s *LinkState) {
		s.LastHeard = Now()
		if !s.Connected {
			s.Connected, s.Error = true, ""
		}
	})
	beaten, nudged := word == bare || word == asking, word != bare && word != asking && e.nudge()
	if l.cfg.Heard != nil && (beaten || nudged) {
		l.cfg.Heard(nudged)
	}
	if nudged {
		l.Kick()
	}
}

// answer passes on the answer to a report. Called by the connection's reader.
func (b *beater) answer(kind string, e envelope) {
	l := b.link
	failed := e.Code != "" || e.Error != ""
	if !failed && l.cfg.Answer != nil {
		l.cfg.Answer(kind, e.Body)
	}
	l.update(func(s *LinkState) { s.Error = e.Error })
	b.answered <- struct{}{}
}
