package witness

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

const (
	// plain, in place of an authority's directory, makes the load talk without TLS.
	plain = "plain"
	// plainBeat is as long as a heartbeat is with TLS.
	plainBeat = 5 + 4 + 1 + 16
	// plainAsks is the first byte of one that wants an answer.
	plainAsks = 1
	dialers   = 8
)

// crowd is the servers of some pairs, in a process of their own.
type crowd struct {
	addr         string
	first, pairs int    // numbers of the pairs
	ca           string // directory of the authority, or plain
	// atOnce: all of them connect at the same moment, when told, as links do, and try
	// again when they are turned away. Otherwise a few at a time, before all else.
	atOnce bool
}

func (c crowd) String() string {
	return fmt.Sprintf("%s %d %d %s %t", c.addr, c.first, c.pairs, c.ca, c.atOnce)
}

// start makes the crowd's process. A crowd that comes at once waits for begin.
func (c crowd) start(b *testing.B) (begin, stop func()) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asLoad+"="+c.String())
	cmd.Stderr = os.Stderr
	// A session of its own, among which Linux shares the processors evenly: thousands of
	// machines in truth, it must not crowd out the one witness.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	begin = func() {
		_, err := out.Read(make([]byte, 1))
		must(b, err)
		must(b, in.Close())
	}
	return begin, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// loadChild is a crowd. Each server connects, reports once and sends heartbeats, in
// turn and evenly.
func loadChild(args string) error {
	var c crowd
	if _, err := fmt.Sscan(args, &c.addr, &c.first, &c.pairs, &c.ca, &c.atOnce); err != nil {
		return err
	}
	l := &loading{crowd: c}
	var err error
	if c.ca != plain {
		if l.authority, err = tls.LoadX509KeyPair(filepath.Join(c.ca, "ca.crt"), filepath.Join(c.ca, "ca.key")); err != nil {
			return err
		}
	}
	if l.answers, err = newDrain(); err != nil {
		return err
	}
	go l.answers.run()
	if c.atOnce {
		return l.storm()
	}
	if err := l.gather(); err != nil {
		return err
	}
	return l.beatAll()
}

// loading is what the process of a crowd has.
type loading struct {
	crowd
	authority tls.Certificate
	answers   *drain
	mu        sync.Mutex
	joined    []*member // in any order
}

// member is a server that has connected.
type member struct {
	net.Conn
	pair  int
	beats int
}

// gather connects all.
func (l *loading) gather() error {
	errs := make(chan error, dialers)
	for d := range dialers {
		go func() {
			var err error
			for i := d; i < 2*l.pairs && err == nil; i += dialers {
				var config *tls.Config
				if config, err = l.configOf(i); err == nil {
					err = l.join(context.Background(), i, config)
				}
			}
			errs <- err
		}()
	}
	for range dialers {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// storm connects all at once.
func (l *loading) storm() error {
	configs := make([]*tls.Config, 2*l.pairs)
	for i := range configs {
		var err error
		if configs[i], err = l.configOf(i); err != nil {
			return err
		}
	}
	if _, err := os.Stdout.WriteString("."); err != nil {
		return err
	}
	if _, err := io.ReadAll(os.Stdin); err != nil {
		return err
	}
	for i, config := range configs {
		go func() {
			for {
				ctx, cancel := context.WithTimeout(context.Background(), 8*interval)
				err := l.join(ctx, i, config)
				cancel()
				if err == nil {
					return
				}
				time.Sleep(interval)
			}
		}()
	}
	return l.beatAll()
}

// join connects the i-th server.
func (l *loading) join(ctx context.Context, i int, config *tls.Config) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return err
	}
	s := &sender{Conn: conn}
	conn = s
	if config != nil {
		c := tls.Client(s, config)
		if err := c.HandshakeContext(ctx); err != nil {
			s.Close()
			return err
		}
		conn = c
	}
	if err := s.detach(l.answers); err != nil {
		return err
	}
	if config != nil {
		if err := tell(conn, l.first+i/2); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joined = append(l.joined, &member{Conn: conn, pair: l.first + i/2})
	return nil
}

// configOf is what the i-th server connects with, nil for no TLS.
func (l *loading) configOf(i int) (*tls.Config, error) {
	if l.ca == plain {
		return nil, nil
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		URIs:        []*url.URL{{Scheme: "mcctl", Host: recordOf(l.first + i/2).Pair, Path: fmt.Sprintf("/server%d", i%2+1)}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, l.authority.Leaf, public, l.authority.PrivateKey)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		InsecureSkipVerify: true, // the load only needs to be let in
		CurvePreferences:   []tls.CurveID{tls.X25519},
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
	}, nil
}

// recordOf is the record of the i-th pair.
func recordOf(i int) record.Record {
	return record.Record{Pair: fmt.Sprintf("pair%05d", i), Term: 1, Primary: "server1", Mode: pair.Alone, Revision: 1}
}

// tell sends the report of a server of the i-th pair.
func tell(conn net.Conn, i int) error {
	report, err := json.Marshal(map[string]any{
		"id": 1, "kind": wire.KindReport,
		"body": wire.WitnessReport{Postgres: wire.WitnessUp, Known: recordOf(i), TimeoutMS: 60000},
	})
	if err != nil {
		return err
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(report))), report...))
	return err
}

func (l *loading) beatAll() error {
	bare, asking := []byte{0, 0, 0, 0}, []byte{0x80, 0, 0, 0}
	if l.ca == plain {
		bare, asking = make([]byte, plainBeat), append([]byte{plainAsks}, make([]byte, plainBeat-1)...)
	}
	for round, start := 0, time.Now(); ; round++ {
		l.mu.Lock()
		conns := l.joined[:len(l.joined):len(l.joined)]
		l.mu.Unlock()
		for i, conn := range conns {
			if i%16 == 0 {
				due := start.Add(time.Duration(round)*interval + interval*time.Duration(i)/time.Duration(len(conns)))
				time.Sleep(time.Until(due))
			}
			if err := conn.beat(bare, asking); err != nil {
				return err
			}
		}
		time.Sleep(time.Until(start.Add(time.Duration(round+1) * interval)))
	}
}

// beat sends the next heartbeat: one of four asks for an answer, and instead of two
// early ones the server reports again, as it would when it is told that there is news:
// the other one has come.
func (m *member) beat(bare, asking []byte) error {
	m.beats++
	word := bare
	switch {
	case (m.beats == 2 || m.beats == 8) && len(bare) != plainBeat:
		return tell(m, m.pair)
	case (m.beats+m.pair)%4 == 0:
		word = asking
	}
	_, err := m.Write(word)
	return err
}

// sender is the socket of one server of the load. Once detached it only sends, and its
// answers are thrown away unread: many servers' work on one machine must cost it
// little, and the process under test not be charged for waking them up one by one.
type sender struct {
	net.Conn
	fd int // once detached
}

func (s *sender) detach(answers *drain) error {
	raw, err := s.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { s.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, failed, s.Conn.Close()); err != nil {
		return err
	}
	return answers.add(s.fd)
}

func (s *sender) Write(b []byte) (int, error) {
	if s.fd == 0 {
		return s.Conn.Write(b)
	}
	for {
		n, err := unix.Write(s.fd, b)
		if !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
			return n, err
		}
		time.Sleep(time.Millisecond) // it writes a few bytes at a time: all or nothing
	}
}

// drain throws away what arrives, now and then.
type drain struct{ epoll int }

func newDrain() (*drain, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &drain{epoll}, err
}

func (d *drain) add(fd int) error {
	return unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (d *drain) run() {
	events, rest := make([]unix.EpollEvent, 1024), make([]byte, 4096)
	for ; ; time.Sleep(20 * time.Millisecond) {
		for {
			n, err := unix.EpollWait(d.epoll, events, 0)
			if err != nil && !errors.Is(err, syscall.EINTR) {
				panic(err)
			}
			for _, e := range events[:max(n, 0)] {
				if n, err := unix.Read(int(e.Fd), rest); n == 0 || err != nil && !errors.Is(err, syscall.EAGAIN) {
					fmt.Fprintln(os.Stderr, io.ErrUnexpectedEOF, err)
					os.Exit(1)
				}
			}
			if n < len(events) {
				break
			}
		}
	}
}
