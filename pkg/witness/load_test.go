package witness

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/wire"
)

const (
	// asLoad, when set to "address pairs authority", makes the test binary the servers
	// of that many pairs.
	asLoad = "WITNESS_TEST_LOADS"
	// benchPairs overrides how many pairs the benchmark has.
	benchPairs = "WITNESS_BENCH_PAIRS"
	interval   = 250 * time.Millisecond
)

// counted is a Witness that counts heartbeats.
type counted struct {
	*Witness
	beats atomic.Int64
}

func (c *counted) Beat(from wire.Identity) {
	c.beats.Add(1)
	c.Witness.Beat(from)
}

// BenchmarkPairs measures what a pair at rest costs its witness: both servers
// connected from another process, four heartbeats a second each, one of four
// answered. An iteration is a second.
func BenchmarkPairs(b *testing.B) {
	pairs := 500
	if s := os.Getenv(benchPairs); s != "" {
		var err error
		pairs, err = strconv.Atoi(s)
		must(b, err)
	}
	ca, dir := filepath.Join(b.TempDir(), "ca"), b.TempDir()
	must(b, wire.NewCA(ca))
	must(b, wire.NewCertificate(ca, "", "arbiter", dir))
	p, err := loadTLS(dir, "arbiter")
	must(b, err)
	w, err := New(Config{Records: b.TempDir(), HeartbeatTimeout: 2 * time.Second, Log: slog.New(slog.DiscardHandler)})
	must(b, err)
	ln, err := wire.ListenTLS("127.0.0.1:0", p.Server)
	must(b, err)
	c := &counted{Witness: w}
	ctx, cancel := context.WithCancel(b.Context())
	served := make(chan error)
	go func() { served <- wire.Serve(ctx, ln, c) }()
	before, start := memory(), time.Now()
	stop := load(b, ln.Addr().String(), pairs, ca)
	for c.online() < 2*pairs {
		time.Sleep(10 * time.Millisecond)
		if time.Since(start) > 5*time.Minute {
			b.Fatalf("only %d of %d servers came online", c.online(), 2*pairs)
		}
	}
	joined := time.Since(start)
	time.Sleep(3 * time.Second) // let stacks shrink
	held := memory() - before
	measure(b, c, pairs) // b.Loop forgets metrics reported before it
	b.ReportMetric(float64(2*pairs)/joined.Seconds(), "connects/s")
	b.ReportMetric(float64(held)/float64(pairs), "B/pair")
	b.ReportMetric(rss(b)/float64(pairs), "RSS-B/pair")
	stop()
	cancel()
	must(b, <-served)
	w.unlock()
}

func measure(b *testing.B, c *counted, pairs int) {
	beats, cpu, start := c.beats.Load(), cpuTime(b), time.Now()
	for b.Loop() {
		time.Sleep(time.Second)
	}
	seconds := time.Since(start).Seconds()
	used := (cpuTime(b) - cpu).Seconds()
	n := float64(c.beats.Load() - beats)
	b.ReportMetric(used*1e6/n, "µs-cpu/beat")
	b.ReportMetric(n/seconds, "beats/s")
	b.ReportMetric(used/n*8*10000, "cores/10k-pairs")          // at the full rate, also if it was not reached
	b.ReportMetric(100*n/(float64(8*pairs)*seconds), "%heard") // below 100, the machine is too small for both sides
}

func (c *counted) online() (n int) {
	for after := ""; ; {
		s := c.status(after)
		for _, p := range s.Pairs {
			for _, server := range p.Servers {
				if server.Online {
					n++
				}
			}
			after = p.Pair
		}
		if !s.More {
			return n
		}
	}
}

// memory is what the process holds for data and stacks.
func memory() uint64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func rss(b *testing.B) float64 {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	must(b, err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	must(b, err)
	return float64(pages * os.Getpagesize())
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func load(b *testing.B, addr string, pairs int, ca string) (stop func()) {
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
	ca, err := tls.LoadX509KeyPair(filepath.Join(caDir, "ca.crt"), filepath.Join(caDir, "ca.key"))
	if err != nil {
		return err
	}
	conns := make([]*tls.Conn, 2*pairs)
	errs := make(chan error, 8)
	var dialers sync.WaitGroup
	for d := range cap(errs) {
		dialers.Go(func() {
			for i := d; i < len(conns); i += cap(errs) {
				if conns[i], err = join(addr, ca, i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	dialers.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return beatAll(conns)
	}
}

func join(addr string, ca tls.Certificate, i int) (*tls.Conn, error) {
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
	conn, err := tls.Dial("tcp", addr, &tls.Config{
		InsecureSkipVerify: true, // the load only needs to be let in
		CurvePreferences:   []tls.CurveID{tls.X25519},
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
	})
	if err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	return conn, tell(conn, i)
}

// tell sends the report of the i-th server.
func tell(conn *tls.Conn, i int) error {
	report := fmt.Sprintf(`{"id":1,"kind":"report","body":{"postgres":"up","copy":{"pair":"pair%05d","term":1,"primary":"server1","mode":"alone","revision":1}}}`, i/2)
	_, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(report))), report...))
	return err
}

func beatAll(conns []*tls.Conn) error {
	for i, conn := range conns { // now both of each pair are there: no news from here on
		if err := tell(conn, i); err != nil {
			return err
		}
	}
	bare, asking := []byte{0, 0, 0, 0}, []byte{0x80, 0, 0, 0}
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
