package act

import (
	"context"
	"maps"
	"strings"
	"time"

	"mcctl/pkg/pair"
)

// senderLook is how often a server that has shut down is looked at while walsenders keep it.
const senderLook = time.Second

// senderLooked is what a walsender showed, and since when.
type senderLooked struct {
	shown string
	since time.Duration
	ended bool // it was told to end
}

// endSendersMeanwhile ends, until done, the walsenders that keep a server which shuts
// down and get on no more: one to a standby that is not reached would do so for
// wal_sender_timeout. What it has yet to send stays here, and is sent after the next start.
// Nobody waits for it: a disk that hangs may hold it.
func (h *Hands) endSendersMeanwhile(ctx context.Context, pid int) (done func()) {
	ctx, cancel := context.WithCancel(ctx)
	h.Aside(func() error {
		for last := map[int]senderLooked{}; h.pause(ctx, senderLook) == nil; {
			if h.Postgres.AwaitsSenders(pid) {
				h.endStuckSenders(pid, last)
			}
		}
		return nil
	})
	return cancel
}

// endStuckSenders ends the one that has come least far of those that get on no more, and
// leaves the others their time again: what is well may have had nothing to send before. One
// whose connection takes nothing wants to say goodbye there when it is told to end, until it
// is told again (ProcessClientWriteInterrupt in postgres.c, 13 to 18).
func (h *Hands) endStuckSenders(pid int, last map[int]senderLooked) {
	stuck, its := 0, pair.LSN(0)
	senders := h.Postgres.Senders(pid)
	for sender, shown := range senders {
		if last[sender].shown != shown {
			last[sender] = senderLooked{shown: shown, since: h.now()}
		}
		switch at := sentBy(shown); {
		case last[sender].ended:
			h.endSender(sender)
		case h.now()-last[sender].since >= fastPatience && (stuck == 0 || at < its):
			stuck, its = sender, at
		}
	}
	if stuck == 0 {
		return
	}
	maps.DeleteFunc(last, func(_ int, l senderLooked) bool { return !l.ended })
	last[stuck] = senderLooked{shown: senders[stuck], ended: true}
	h.tell("ended what kept PostgreSQL from stopping: %s", senders[stuck])
	h.endSender(stuck)
}

func (h *Hands) endSender(sender int) {
	if err := h.Postgres.EndSender(sender); err != nil {
		h.Log.Warn("a walsender keeps PostgreSQL from stopping", "error", err)
	}
}

// sentBy is the position that a walsender shows at the end, 0 if it shows none.
func sentBy(shown string) pair.LSN {
	at, err := pair.ParseLSN(shown[strings.LastIndex(shown, " ")+1:])
	if err != nil {
		return 0
	}
	return at
}
