package act

import (
	"context"
	"time"
)

// senderLook is how often a server that has shut down is looked at while walsenders keep it.
const senderLook = time.Second

// senderLooked is what a walsender showed, and since when.
type senderLooked struct {
	shown string
	since time.Duration
}

// endSendersMeanwhile ends, until done, the walsenders that keep a server which has shut
// down and get on no more: one to a standby that is not reached would do so for
// wal_sender_timeout. What it has yet to send stays here, and is sent after the next start.
// Nobody waits for it: a disk that hangs may hold it.
func (h *Hands) endSendersMeanwhile(ctx context.Context, pid int) (done func()) {
	ctx, cancel := context.WithCancel(ctx)
	h.Aside(func() error {
		for last := map[int]senderLooked{}; h.pause(ctx, senderLook) == nil; {
			if h.Postgres.Lingers(pid) {
				h.endStuckSenders(pid, last)
			}
		}
		return nil
	})
	return cancel
}

func (h *Hands) endStuckSenders(pid int, last map[int]senderLooked) {
	for sender, shown := range h.Postgres.Senders(pid) {
		if last[sender].shown != shown {
			last[sender] = senderLooked{shown, h.now()}
		}
		if h.now()-last[sender].since < fastPatience {
			continue
		}
		h.tell("ended what kept PostgreSQL from stopping: %s", shown)
		if err := h.Postgres.EndSender(sender); err != nil {
			h.Log.Warn("a walsender keeps PostgreSQL from stopping", "error", err)
		}
	}
}
