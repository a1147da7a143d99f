package wire

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// maxConcurrent is how many requests of one connection run at once, reports and
// heartbeats not counted. Link keeps to half of it.
const maxConcurrent = 64

// incoming is one accepted connection. It is kept small: a witness has thousands.
type incoming struct {
	server  *server
	conn    net.Conn
	from    Identity
	head    [wordSize]byte
	beats   bool // it has carried a heartbeat or report
	running atomic.Int32
	// ctx and cancel are made for the first request that runs concurrently.
	ctx    context.Context
	cancel context.CancelFunc
}

// serve reads frames until the connection ends.
func (in *incoming) serve() {
	for in.next() == nil {
	}
	in.server.remove(in.conn)
	if in.cancel != nil {
		in.cancel()
	}
	if in.beats && in.server.abandon(in) {
		in.server.handler.Gone(in.from)
	}
}

func (in *incoming) next() error {
	word, err := readWord(in.conn, in.head[:])
	if err != nil {
		return err
	}
	if word == bare || word == asking {
		return in.beat(word == asking)
	}
	e, err := readEnvelope(in.conn, word)
	if err != nil {
		return err
	}
	if e.Kind == KindReport {
		in.adopt()
		return in.answer(in.server.ctx, e)
	}
	return in.start(e)
}

func (in *incoming) adopt() {
	if !in.beats {
		in.beats = true
		in.server.adopt(in)
	}
}

func (in *incoming) beat(answer bool) error {
	in.adopt()
	in.server.handler.Beat(in.from)
	if in.server.news != nil && in.server.news.News(in.from) {
		frame, err := encode(envelope{}, nil)
		if err != nil {
			return err
		}
		return in.write(frame)
	}
	if !answer {
		return nil
	}
	clear(in.head[:])
	return in.write(in.head[:])
}

// start runs a request beside the reading goroutine.
func (in *incoming) start(e envelope) error {
	if in.running.Add(1) > maxConcurrent {
		in.running.Add(-1)
		return in.fail(e.ID, CodeRefused, fmt.Sprintf("more than %d requests at once; wait for answers first", maxConcurrent))
	}
	if in.cancel == nil {
		in.ctx, in.cancel = context.WithCancel(in.server.ctx)
	}
	ctx := in.ctx
	in.server.work.Go(func() {
		defer in.running.Add(-1)
		if in.answer(ctx, e) != nil {
			shut(in.conn) // the reading goroutine sees it and ends
		}
	})
	return nil
}

// answer handles a request and sends what came of it. Its error is the connection's.
func (in *incoming) answer(ctx context.Context, e envelope) error {
	body, err := in.server.handler.Handle(ctx, in.from, e.Kind, e.Body)
	if err != nil {
		return in.fail(e.ID, codeOf(err), err.Error())
	}
	frame, err := encode(envelope{ID: e.ID}, body)
	if err != nil {
		return in.fail(e.ID, CodeInternal, err.Error())
	}
	return in.write(frame)
}

func (in *incoming) fail(id uint64, code, text string) error {
	frame, err := encode(envelope{ID: id, Code: code, Error: text}, nil)
	if err != nil {
		return err
	}
	return in.write(frame)
}

func (in *incoming) write(frame []byte) error {
	if err := in.conn.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	_, err := in.conn.Write(frame)
	return err
}
