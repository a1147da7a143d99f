package arbiter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// writePace is the pause between two writes that are tried.
const writePace = 5 * time.Second

// tryWrites tries until ctx ends whether etcd would take a write: one whose quota is used
// up, or whose user may only read, answers all that a quiet pair asks, and shall be seen
// before the failover that needs it. It is beside the turns: they do not wait for it.
func (e *etcd) tryWrites(ctx context.Context) {
	for ctx.Err() == nil {
		pause := writePace
		if e.isReached() { // why it is not is told anyway
			err := e.tryWrite(ctx)
			if ctx.Err() != nil {
				return
			}
			e.noteWrite(err)
			if err != nil {
				pause = slowRetry
			}
		}
		e.clock.Wait(ctx, pause, nil)
	}
}

// never is the revision that no key has.
const never = -1

// tryWrite asks for a write that etcd judges like any other, and that its condition keeps
// from being made: what is written leaves a revision behind, and an etcd that nobody
// compacts would fill up with them.
func (e *etcd) tryWrite(ctx context.Context) error {
	ctx, cancel := e.clock.Timeout(ctx, e.cfg.Timeout, nil)
	defer cancel()
	value, err := json.Marshal(e.newest())
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	key := e.keys.server(e.cfg.Me)
	txn := etcdTxn{[]etcdCompare{sameMod(key, never)}, []etcdOp{{Put: &etcdPut{Key: key, Value: value}}}}
	var answer etcdTxnAnswer
	return e.client.call(ctx, "/v3/kv/txn", txn, &answer, false)
}

// takesNoWrites: it said so, and nothing was written.
func takesNoWrites(err error) bool {
	var said *etcdError
	return errors.As(err, &said) && (said.Code == codeExhausted || said.Code == codeDenied)
}

// noteWrite keeps why a write was not taken, and tells if that is news.
func (e *etcd) noteWrite(err error) {
	text := ""
	if err != nil {
		text = "etcd answers reads, but takes no writes: " + e.mend(err)
	}
	e.note(&e.refused, text)
}

// mend is why a write was not taken, and what to do about it.
func (e *etcd) mend(err error) string {
	var said *etcdError
	text := e.client.plain(err)
	switch {
	case !errors.As(err, &said):
	case strings.Contains(said.Text, "space exceeded"): // one that has too much to do says codeExhausted as well
		return fmt.Sprintf("its disk quota is used up (%s): compact and defragment it, then etcdctl alarm disarm", text)
	case said.Code == codeDenied:
		return fmt.Sprintf("%s: the user of this server needs readwrite below %s", text, e.keys.base)
	}
	return text
}

func (e *etcd) isReached() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reached()
}
