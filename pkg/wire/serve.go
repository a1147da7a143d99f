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
	// helloTimeout bounds a stranger who connects and says nothing, or not all.
	helloTimeout = 5 * time.Second
	// handshakeTimeout bounds one who begins to shake hands and does not go on. All that
	// is left then is one way to the other side and back.
	handshakeTimeout = 2 * time.Second
	// answerTimeout bounds a peer that asks and does not read, or does not ask to the end.
	answerTimeout = 5 * time.Second
	// acceptPause follows an accept that failed for want of memory or descriptors.
	acceptPause = 50 * time.Millisecond
)

// server is one Serve.
type server struct {
	handler Handler
	ctx     context.Context
	poller  *poller
	turns   *turns
	work    sync.WaitGroup // one for each connection and each request

	mu      sync.Mutex
	ended   bool
	open    map[*socket]struct{}
	beating map[Identity]*incoming
	all     map[Identity][]*incoming // in the order in which they came
}

// Serve answers the connections that ln accepts until ctx ends, then closes ln and
// all connections, waits for the handlers and returns nil. ln is made by ListenTLS
// or ListenUnix. An error means that ln broke.
func Serve(ctx context.Context, ln net.Listener, h Handler) error {
	p, err := newPoller()
	if err != nil {
		ln.Close()
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	}
	defer p.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{
		handler: h, ctx: ctx, poller: p, turns: newTurns(),
		open: map[*socket]struct{}{}, beating: map[Identity]*incoming{}, all: map[Identity][]*incoming{},
	}
	polled := make(chan struct{})
	go func() {
		p.run()
		close(polled)
	}()
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() {
		ln.Close()
		close(closed)
	})
	err = s.accept(ln)
	if ctx.Err() != nil {
		err = nil
	}
	cancel()
	<-closed // the socket's file is gone when Serve returns
	s.closeAll()
	s.work.Wait() // the poller helps: it closes the connections that it watches
	p.stop()
	<-polled
	return err
}

func (s *server) accept(ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			if sock := below(conn); s.add(sock) {
				go s.greet(sock, conn) // the connection counts in work
			}
		case s.ctx.Err() != nil || !errors.As(err, &temporary) || !temporary.Temporary():
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		default:
			time.Sleep(acceptPause)
		}
	}
}

// below is the socket of an accepted connection.
func below(conn net.Conn) *socket {
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	if sock, ok := conn.(*socket); ok {
		return sock
	}
	return newSocket(conn)
}

// greet finds out who connects, and reads what came with the handshake.
func (s *server) greet(sock *socket, conn net.Conn) {
	from, err := s.identify(sock, conn)
	if err == nil {
		err = sock.park(s.poller)
	}
	if err != nil {
		s.remove(sock)
		s.work.Done()
		return
	}
	in := &incoming{server: s, socket: sock, conn: sock, from: from}
	if c, ok := conn.(*tls.Conn); ok {
		in.conn = c
	}
	s.poller.enter(in)
	s.join(in)
	in.attend()
}

func (s *server) identify(sock *socket, conn net.Conn) (Identity, error) {
	switch c := conn.(type) {
	case *net.UnixConn:
		return Identity{Name: LocalName}, nil
	case *tls.Conn:
		if err := s.handshake(sock, c); err != nil {
			return Identity{}, err
		}
		state := c.ConnectionState()
		defer forget(state)
		return identityOf(state.PeerCertificates)
	}
	return Identity{}, fmt.Errorf("a %T does not tell who it is", conn)
}

// forget drops the certificates, which nobody needs after the handshake, from the
// connection as well: they would be a third of its memory.
func forget(state tls.ConnectionState) {
	clear(state.PeerCertificates)
	for _, chain := range state.VerifiedChains {
		clear(chain)
	}
}

func (s *server) handshake(sock *socket, c *tls.Conn) error {
	// A stranger who says nothing, or not all, must not take a turn.
	if err := awaitHello(sock.Conn, helloTimeout); err != nil {
		return err
	}
	done, err := s.turns.take(s.ctx, originOf(sock.Conn.RemoteAddr()))
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(s.ctx, handshakeTimeout)
	defer cancel()
	return c.HandshakeContext(ctx)
}

// add registers a connection, unless all are being closed already.
func (s *server) add(sock *socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		sock.Close()
		return false
	}
	s.work.Add(1)
	s.open[sock] = struct{}{}
	return true
}

// remove closes a connection; its owner calls it.
func (s *server) remove(sock *socket) {
	sock.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sock)
}

func (s *server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for sock := range s.open {
		sock.end()
	}
}

// adopt makes in the connection that carries its identity's heartbeats. An older
// one is a leftover of a connection that broke without our hearing of it.
func (s *server) adopt(in *incoming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if older := s.beating[in.from]; older != nil {
		older.socket.end()
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
