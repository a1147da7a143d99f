package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// handshakeTimeout bounds a stranger who connects and says nothing.
	handshakeTimeout = 5 * time.Second
	// maxHandshakes is how many run at once. When everybody comes back after a restart,
	// thousands together would make all of them too late and nobody would ever get in.
	maxHandshakes = 64
	// queueTimeout is how long a connection waits for its turn. Later, its owner is
	// about to give up: better not to spend work on it, it will try again.
	queueTimeout = 300 * time.Millisecond
	// answerTimeout bounds a peer that asks and does not read.
	answerTimeout = 5 * time.Second
	// acceptPause follows an accept that failed for want of memory or descriptors.
	acceptPause = 50 * time.Millisecond
)

// server is one Serve.
type server struct {
	handler Handler
	news    NewsHandler // the same, if it is one
	ctx     context.Context
	work    sync.WaitGroup
	// handshakes holds a token for each handshake under way.
	handshakes chan struct{}

	mu      sync.Mutex
	ended   bool
	open    map[net.Conn]struct{}
	beating map[Identity]*incoming
}

// Serve answers the connections that ln accepts until ctx ends, then closes ln and
// all connections, waits for the handlers and returns nil. ln is made by ListenTLS
// or ListenUnix. An error means that ln broke.
func Serve(ctx context.Context, ln net.Listener, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{
		handler: h, ctx: ctx, handshakes: make(chan struct{}, maxHandshakes),
		open: map[net.Conn]struct{}{}, beating: map[Identity]*incoming{},
	}
	s.news, _ = h.(NewsHandler)
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() {
		ln.Close()
		close(closed)
	})
	err := s.accept(ln)
	if ctx.Err() != nil {
		err = nil
	}
	cancel()
	<-closed // the socket's file is gone when Serve returns
	s.closeAll()
	s.work.Wait()
	return err
}

func (s *server) accept(ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			if s.add(conn) {
				s.work.Go(func() { s.greet(conn) })
			}
		case s.ctx.Err() != nil || !errors.As(err, &temporary) || !temporary.Temporary():
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		default:
			time.Sleep(acceptPause)
		}
	}
}

// greet finds out who connects. Reading goes on in a goroutine of its own: a
// handshake grows the stack to a size that would stay for the connection's life.
func (s *server) greet(conn net.Conn) {
	from, err := s.identify(conn)
	if err != nil {
		s.remove(conn)
		return
	}
	in := &incoming{server: s, conn: conn, from: from}
	s.work.Go(in.serve)
}

func (s *server) identify(conn net.Conn) (Identity, error) {
	switch c := conn.(type) {
	case *net.UnixConn:
		return Identity{Name: LocalName}, nil
	case *tls.Conn:
		if err := s.handshake(c); err != nil {
			return Identity{}, err
		}
		return identityOf(c.ConnectionState().PeerCertificates)
	}
	return Identity{}, fmt.Errorf("a %T does not tell who it is", conn)
}

func (s *server) handshake(c *tls.Conn) error {
	// A stranger who connects and says nothing must not take a turn.
	if err := awaitBytes(c.NetConn(), handshakeTimeout); err != nil {
		return err
	}
	select {
	case s.handshakes <- struct{}{}:
	case <-s.ctx.Done():
		return s.ctx.Err()
	case <-time.After(queueTimeout):
		return errors.New("too many connections at once")
	}
	defer func() { <-s.handshakes }()
	ctx, cancel := context.WithTimeout(s.ctx, handshakeTimeout)
	defer cancel()
	return c.HandshakeContext(ctx)
}

// add registers a connection, unless all are being closed already.
func (s *server) add(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		conn.Close()
		return false
	}
	s.open[conn] = struct{}{}
	return true
}

func (s *server) remove(conn net.Conn) {
	shut(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}

func (s *server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for conn := range s.open {
		shut(conn)
	}
}

// adopt makes in the connection that carries its identity's heartbeats. An older
// one is a leftover of a connection that broke without our hearing of it.
func (s *server) adopt(in *incoming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if older := s.beating[in.from]; older != nil {
		shut(older.conn)
	}
	s.beating[in.from] = in
}

// abandon reports whether in still carried its identity's heartbeats.
func (s *server) abandon(in *incoming) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.beating[in.from] != in {
		return false
	}
	delete(s.beating, in.from)
	return true
}

// shut closes conn without TLS's farewell, which would wait behind a write that is
// stuck. Every frame says its own length, so nothing can be cut off unnoticed.
func shut(conn net.Conn) {
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	conn.Close()
}
