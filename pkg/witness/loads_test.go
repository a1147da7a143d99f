package witness

import (
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
	"strconv"
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

func load(b *testing.B, addr string, pairs int, ca string) (stop func()) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", asLoad, addr, pairs, ca))
	cmd.Stderr = os.Stderr
	must(b, cmd.Start())
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// loadChild is the servers of many pairs: each connects, reports once and sends
// heartbeats, in turn and evenly.
func loadChild(addr, count, caDir string) error {
	pairs, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	var ca tls.Certificate
	if caDir != plain {
		if ca, err = tls.LoadX509KeyPair(filepath.Join(caDir, "ca.crt"), filepath.Join(caDir, "ca.key")); err != nil {
			return err
		}
	}
	answers, err := newDrain()
	if err != nil {
		return err
	}
	go answers.run()
	conns, errs := make([]net.Conn, 2*pairs), make(chan error, dialers)
	var work sync.WaitGroup
	for d := range dialers {
		work.Go(func() {
			for i := d; i < len(conns); i += dialers {
				if conns[i], err = join(addr, ca, i, answers); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	work.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	if caDir == plain {
		asks := make([]byte, plainBeat)
		asks[0] = plainAsks
		return beatAll(conns, make([]byte, plainBeat), asks)
	}
	bare := []byte{0, 0, 0, 0}
	for _, conn := range conns {
		if _, err := conn.Write(bare); err != nil {
			return err
		}
	}
	for i, conn := range conns { // now both of each pair are heard: no news from here on
		if err := tell(conn, i); err != nil {
			return err
		}
	}
	return beatAll(conns, bare, []byte{0x80, 0, 0, 0})
}

// join connects the i-th server, without TLS if there is no authority.
func join(addr string, ca tls.Certificate, i int, answers *drain) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &sender{Conn: conn}
	if ca.Leaf == nil {
		return s, s.detach(answers)
	}
	config, err := serverOf(ca, i)
	if err != nil {
		return nil, err
	}
	c := tls.Client(s, config)
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	if err := s.detach(answers); err != nil {
		return nil, err
	}
	return c, tell(c, i)
}

// serverOf is what the i-th server connects with.
func serverOf(ca tls.Certificate, i int) (*tls.Config, error) {
	pairName, name := fmt.Sprintf("pair%05d", i/2), fmt.Sprintf("server%d", i%2+1)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		URIs:        []*url.URL{{Scheme: "mcctl", Host: pairName, Path: "/" + name}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, public, ca.PrivateKey)
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

// tell sends the report of the i-th server.
func tell(conn net.Conn, i int) error {
	report, err := json.Marshal(map[string]any{
		"id": 1, "kind": wire.KindReport,
		"body": wire.WitnessReport{Postgres: wire.WitnessUp, Known: recordOf(i / 2), TimeoutMS: 2000},
	})
	if err != nil {
		return err
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(report))), report...))
	return err
}

func beatAll(conns []net.Conn, bare, asking []byte) error {
	for round, start := 0, time.Now(); ; round++ {
		for i, conn := range conns {
			if i%16 == 0 {
				due := start.Add(time.Duration(round)*interval + interval*time.Duration(i)/time.Duration(len(conns)))
				time.Sleep(time.Until(due))
			}
			word := bare
			if (round+i)%4 == 0 {
				word = asking
			}
			if _, err := conn.Write(word); err != nil {
				return err
			}
		}
	}
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
