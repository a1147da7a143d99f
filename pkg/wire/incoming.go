package wire

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// maxConcurrent is how many requests of one connection run at once, reports and
	// heartbeats not counted. Link keeps to half of it.
	maxConcurrent = 64
	// turnBeats is how many heartbeats the poller answers for one connection before it
	// leaves it to a goroutine: the others wait meanwhile.
	turnBeats = 4
	// firstPart is how much memory a frame gets for its length alone, in bytes. The
	// rest comes with what really arrives.
	firstPart = 8 << 10
)

// incoming is one accepted connection. It is kept small, and at rest it has no
// goroutine: a witness has thousands. The owner of its socket owns its fields.
type incoming struct {
	server *server
	socket *socket
	conn   net.Conn // socket, or the TLS above it
	from   Identity
	beats  bool // it has carried a heartbeat or report
	// The frame that is being read: got bytes of head, or, when text is set, word says
	// how long text becomes.
	head    [wordSize]byte
	got     uint8
	word    uint32
	text    []byte
	late    *time.Timer // ends the connection unless the frame is whole by then
	running atomic.Int32
	// ctx and cancel are made for the first request that runs concurrently.
	ctx    context.Context
	cancel context.CancelFunc
}

// ready is the connection's turn in the poller's goroutine, which it must not keep
// from the others: it answers a few heartbeats, heard at that moment of Now, and leaves
// all else to a goroutine.
func (in *incoming) ready(events uint32, at time.Duration) {
	in.socket.begin()
	if events&sending != 0 && in.socket.flush() != nil {
		in.close()
		return
	}
	for range turnBeats {
		beat, err := in.beatNext(at)
		switch {
		case err == errWait:
			in.awaitRest()
			return
		case err != nil:
			in.close()
			return
		case !beat:
			in.leavePoller()
			return
		}
	}
	in.leavePoller()
}

func (in *incoming) leavePoller() {
	if in.socket.unwatch() != nil {
		in.close()
		return
	}
	go in.attend() // ends when there is nothing to read; the connection counts in server.work
}

// attend reads frames until it would have to wait, and then gives the connection to
// the poller. Who calls it owns the connection and does not after it.
func (in *incoming) attend() {
	for {
		err := in.next()
		if err == errWait {
			in.awaitRest()
			err = in.socket.watch()
			if err == nil {
				return
			}
		}
		if err != nil {
			in.close()
			return
		}
	}
}

// awaitRest bounds how long the rest of a frame may take of which something is there: it
// is memory that its sender has us hold.
func (in *incoming) awaitRest() {
	if in.late == nil && (in.got > 0 || in.word > 0) {
		in.late = time.AfterFunc(answerTimeout, in.socket.end)
	}
}

// whole notes that a frame has arrived to its end.
func (in *incoming) whole() {
	in.got, in.word, in.text = 0, 0, nil
	if in.late != nil {
		in.late.Stop()
		in.late = nil
	}
}

// close is the owner's end of the connection.
func (in *incoming) close() {
	in.whole() // nothing of it is waited for any more
	in.server.part(in)
	in.server.poller.leave(in)
	in.server.remove(in.socket)
	if in.cancel != nil {
		in.cancel()
	}
	if in.beats && in.server.abandon(in) {
		in.server.handler.Gone(in.from)
	}
	in.server.work.Done()
}

// next reads and handles one frame, or what there is of it. An error other than
// errWait is the connection's.
func (in *incoming) next() error {
	if beat, err := in.beatNext(Now()); beat || err != nil {
		return err
	}
	for uint32(len(in.text)) < in.word {
		in.text = slices.Grow(in.text, int(min(in.word-uint32(len(in.text)), uint32(max(firstPart, len(in.text))))))
		free := in.text[len(in.text):min(cap(in.text), int(in.word))]
		n, err := in.conn.Read(free)
		in.text = in.text[:len(in.text)+n]
		if err != nil && uint32(len(in.text)) < in.word {
			return err
		}
	}
	text := in.text
	in.whole()
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("read frame: %w", err)
	}
	if e.Kind == KindReport {
		in.adopt()
		return in.answer(in.server.ctx, e)
	}
	return in.start(e)
}

// beatNext answers the next frame if it is a heartbeat, one heard at. If not, word is set.
func (in *incoming) beatNext(at time.Duration) (bool, error) {
	if in.word > 0 {
		return false, nil
	}
	for in.got < wordSize {
		n, err := in.conn.Read(in.head[in.got:])
		in.got += uint8(n)
		if err != nil && in.got < wordSize {
			return false, err // with the last bytes it comes again
		}
	}
	in.got = 0
	word := binary.BigEndian.Uint32(in.head[:])
	if word == bare || word == asking {
		in.whole()
		return true, in.beat(at, word == asking)
	}
	in.word = word
	return false, checkWord(word)
}

func (in *incoming) adopt() {
	if !in.beats {
		in.beats = true
		in.server.adopt(in)
	}
}

func (in *incoming) beat(at time.Duration, answer bool) error {
	in.adopt()
	if in.server.handler.Beat(in.from, at) {
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

// start runs a request beside the reading.
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
			in.socket.end() // the owner sees it
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

// write never waits: see socket.
func (in *incoming) write(frame []byte) error {
	_, err := in.conn.Write(frame)
	return err
}
