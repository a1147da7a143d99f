package wire

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"mcctl/pkg/tcp"
)

// Conn is one connection to a server, for whoever asks a few questions and leaves.
// Its methods may be called from several goroutines.
type Conn struct {
	conn net.Conn
	// silence is how long nothing may be heard, and a write may take; 0 is for ever.
	silence time.Duration
	done    chan struct{} // closed when the connection has ended
	err     error         // why; the reader's, to be read after done

	mu      sync.Mutex
	last    uint64
	pending map[uint64]func(envelope)
}

func newConn(conn net.Conn, silence time.Duration) *Conn {
	return &Conn{conn: conn, silence: silence, done: make(chan struct{}), pending: map[uint64]func(envelope){}}
}

// Dial connects to a server: network "tcp" with a TLSPair's Client, or "unix" with
// nil. Until ctx ends it waits for the handshake; afterwards only Close ends the
// connection. Every error is ErrNoAnswer.
func Dial(ctx context.Context, network, addr string, config *tls.Config) (*Conn, error) {
	nc, err := dial(ctx, network, addr, config, 0)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w: %w", addr, ErrNoAnswer, told{err})
	}
	c := newConn(nc, 0)
	go c.listen(func(uint32, envelope) {}) // ends with Close, which waits for it
	return c, nil
}

// dial opens the connection and, with a config, shakes hands. A silence bounds
// unacknowledged data and sets the keep-alive.
func dial(ctx context.Context, network, addr string, config *tls.Config, silence time.Duration) (net.Conn, error) {
	d := net.Dialer{}
	if silence > 0 && network == "tcp" {
		d.KeepAliveConfig = keepAlive(max(silence, time.Second))
	}
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if tc, ok := nc.(*net.TCPConn); ok && silence > 0 {
		raw, err := tc.SyscallConn()
		if err == nil {
			err = tcp.SetUserTimeout(raw, silence)
		}
		if err != nil {
			nc.Close()
			return nil, err
		}
	}
	if config == nil {
		return nc, nil
	}
	tc := tls.Client(nc, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("%w: %w", errHandshake, err)
	}
	return tc, nil
}

// Close ends the connection; calls that wait get ErrNoAnswer.
func (c *Conn) Close() error {
	shut(c.conn)
	<-c.done
	return nil
}

// Call asks for kind with request as body (nil for none) and decodes the answer into
// answer (nil to ignore it). What the other side refuses is a *RemoteError; all
// else that keeps an answer away, ctx included, is ErrNoAnswer.
func (c *Conn) Call(ctx context.Context, kind string, request, answer any) error {
	got := make(chan envelope, 1)
	id, err := c.send(kind, request, func(e envelope) { got <- e })
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	select {
	case e := <-got:
		return decode(e, kind, answer)
	case <-ctx.Done():
		c.forget(id)
		return fmt.Errorf("%s: %w: %w", kind, ErrNoAnswer, context.Cause(ctx))
	case <-c.done:
	}
	select {
	case e := <-got: // the answer was the last thing that arrived
		return decode(e, kind, answer)
	default:
		return fmt.Errorf("%s: %w: %s", kind, ErrNoAnswer, plain(c.lost()))
	}
}

func decode(e envelope, kind string, answer any) error {
	if e.Code != "" || e.Error != "" {
		return fmt.Errorf("%s: %w", kind, &RemoteError{Code: e.Code, Text: e.Error})
	}
	if answer == nil || len(e.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(e.Body, answer); err != nil {
		return fmt.Errorf("%s: %w: cannot read it: %w", kind, ErrNoAnswer, err)
	}
	return nil
}

// send writes a request and arranges for its answer.
func (c *Conn) send(kind string, body any, answered func(envelope)) (uint64, error) {
	c.mu.Lock()
	c.last++
	id := c.last
	c.pending[id] = answered
	c.mu.Unlock()
	frame, err := encode(envelope{ID: id, Kind: kind}, body)
	if err != nil {
		c.forget(id)
		return 0, err
	}
	if err := c.write(frame); err != nil {
		c.forget(id)
		return 0, fmt.Errorf("%w: %s", ErrNoAnswer, plain(err))
	}
	return id, nil
}

func (c *Conn) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

func (c *Conn) take(id uint64) func(envelope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answered := c.pending[id]
	delete(c.pending, id)
	return answered
}

// write sends a frame. After a failure the stream is of no use: it is ended, which
// wakes everybody who waits.
func (c *Conn) write(frame []byte) error {
	if c.silence > 0 {
		if err := c.conn.SetWriteDeadline(time.Now().Add(c.silence)); err != nil {
			return err
		}
	}
	_, err := c.conn.Write(frame)
	if err != nil {
		shut(c.conn)
	}
	return err
}

// listen reads until the connection ends, handing answers to those who wait. heard
// is told of every frame before that.
func (c *Conn) listen(heard func(word uint32, e envelope)) {
	head := make([]byte, wordSize)
	for c.err == nil {
		c.err = c.frame(head, heard)
	}
	shut(c.conn)
	close(c.done)
}

func (c *Conn) frame(head []byte, heard func(uint32, envelope)) error {
	if c.silence > 0 {
		if err := c.conn.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
			return err
		}
	}
	word, err := readWord(c.conn, head)
	if err != nil {
		return err
	}
	var e envelope
	if word != bare && word != asking {
		if e, err = readEnvelope(c.conn, word); err != nil {
			return err
		}
	}
	heard(word, e)
	if answered := c.take(e.ID); answered != nil {
		answered(e)
	}
	return nil
}

// lost is why the connection ended; only after done.
func (c *Conn) lost() error {
	if errors.Is(c.err, net.ErrClosed) {
		return errors.New("the connection was closed here")
	}
	return c.err
}

// shut closes conn without TLS's farewell, which would wait behind a write that is
// stuck. Every frame says its own length, so nothing can be cut off unnoticed.
func shut(conn net.Conn) {
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	conn.Close()
}
