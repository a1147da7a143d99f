package witness

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/wire"
)

const (
	// asLoad, when set to a crowd, makes the test binary that.
	asLoad = "WITNESS_TEST_LOADS"
	// benchPairs overrides how many pairs the benchmark has.
	benchPairs = "WITNESS_BENCH_PAIRS"
	// spareFiles is how many files a process of the benchmark needs beside the servers'.
	spareFiles = 100
	interval   = 250 * time.Millisecond
)

// counted is a Witness that counts heartbeats.
type counted struct {
	*Witness
	addr, ca string // where it listens, and who signs for its clients
	beats    atomic.Int64
}

func (c *counted) Beat(from wire.Identity, at time.Duration) bool {
	c.beats.Add(1)
	return c.Witness.Beat(from, at)
}

// BenchmarkPairs measures what a pair at rest costs its witness: both servers
// connected from another process, four heartbeats a second each, one of four
// answered. An iteration is a second. Beside it stands the floor: what the kernel
// alone takes for the same bytes on as many connections.
func BenchmarkPairs(b *testing.B) {
	pairs := pairsWanted(b)
	before := memory()
	c, end := serveCounted(b, pairs)
	_, stop := crowd{addr: c.addr, pairs: pairs, ca: c.ca}.start(b)
	waitFor(b, 2*pairs, c.online)
	time.Sleep(4 * time.Second) // let stacks shrink, and all be told of the other
	held := memory() - before
	begin := c.usage()
	for b.Loop() {
		time.Sleep(time.Second)
	}
	used := c.usage().since(begin)
	used.report(b, pairs) // b.Loop forgets metrics reported before it
	b.ReportMetric(float64(held)/float64(pairs), "B/pair")
	b.ReportMetric(rss(b)/float64(pairs), "RSS-B/pair")
	stop()
	end()
	floor := floorOf(b, pairs, time.Duration(used.seconds)*time.Second)
	b.ReportMetric(floor, "µs-floor/beat")
	b.ReportMetric(used.perBeat()/floor, "x-floor")
}

// BenchmarkReturn measures what happens when a witness comes back and all servers
// connect at the same moment, while a tenth of them is connected already: how long
// until all are heard, and how old the connected ones' heartbeats become meanwhile.
func BenchmarkReturn(b *testing.B) {
	pairs := pairsWanted(b)
	there := pairs / 10
	c, end := serveCounted(b, pairs)
	_, stop := crowd{addr: c.addr, pairs: there, ca: c.ca}.start(b)
	waitFor(b, 2*there, c.online)
	begin, stopStorm := crowd{addr: c.addr, first: there, pairs: pairs - there, ca: c.ca, atOnce: true}.start(b)
	var used usage
	var oldest, lost int
	for b.Loop() {
		begin()
		from := c.usage()
		waitFor(b, 2*pairs, func() int {
			age, gone := c.oldest(there)
			oldest, lost = max(oldest, int(age.Milliseconds())), max(lost, gone)
			return c.online()
		})
		used = c.usage().since(from)
	}
	b.ReportMetric(float64(2*(pairs-there))/used.seconds, "connects/s")
	b.ReportMetric((used.user+used.system)/float64(2*(pairs-there))*1e3, "ms-cpu/connect") // heartbeats included
	b.ReportMetric(float64(oldest), "ms-oldest-beat")
	b.ReportMetric(float64(lost), "lost")
	stopStorm()
	stop()
	end()
}

// oldest is the greatest age of a heartbeat of the first pairs, and how many of their
// servers have no connection.
func (c *counted) oldest(pairs int) (age time.Duration, gone int) {
	for i := range pairs {
		k := c.find(recordOf(i).Pair)
		k.mu.Lock()
		for _, s := range k.seats {
			age = max(age, wire.Now()-s.heard)
			if !s.open {
				gone++
			}
		}
		k.mu.Unlock()
	}
	return age, gone
}

// serveCounted starts a witness that has the records of the load's pairs.
func serveCounted(b *testing.B, pairs int) (c *counted, end func()) {
	b.Helper()
	procs := runtime.GOMAXPROCS(1) // as mcctl arbitrate does
	ca, dir, records := filepath.Join(b.TempDir(), "ca"), b.TempDir(), b.TempDir()
	must(b, wire.NewCA(ca))
	must(b, wire.NewCertificate(ca, "", "arbiter", dir))
	p, err := loadTLS(dir, "arbiter")
	must(b, err)
	keepRecords(b, records, pairs)
	w, err := New(Config{Records: records, HeartbeatTimeout: 2 * time.Second, Log: slog.New(slog.DiscardHandler)})
	must(b, err)
	ln, err := wire.ListenTLS("127.0.0.1:0", p.Server)
	must(b, err)
	c = &counted{Witness: w, addr: ln.Addr().String(), ca: ca}
	ctx, cancel := context.WithCancel(b.Context())
	served := make(chan error)
	go func() { served <- wire.Serve(ctx, ln, c) }()
	return c, func() {
		cancel()
		must(b, <-served)
		must(b, w.unlock())
		runtime.GOMAXPROCS(procs)
	}
}

// keepRecords writes the records that the pairs of the load have.
func keepRecords(b *testing.B, dir string, pairs int) {
	b.Helper()
	for i := range pairs {
		text, err := json.Marshal(recordOf(i))
		must(b, err)
		must(b, os.WriteFile(filepath.Join(dir, recordOf(i).Pair+suffix), text, 0o600))
	}
}

func pairsWanted(b *testing.B) int {
	pairs := 500
	if s := os.Getenv(benchPairs); s != "" {
		var err error
		pairs, err = strconv.Atoi(s)
		must(b, err)
	}
	var limit syscall.Rlimit
	must(b, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if most := (int(limit.Cur) - spareFiles) / 2; pairs > most {
		b.Fatalf("%d pairs need %d open files; the limit (ulimit -n) is enough for %d pairs", pairs, 2*pairs+spareFiles, most)
	}
	return pairs
}

func waitFor(b *testing.B, servers int, online func() int) {
	b.Helper()
	for start := time.Now(); online() < servers; time.Sleep(200 * time.Millisecond) {
		if time.Since(start) > 5*time.Minute {
			b.Fatalf("only %d of %d servers came online", online(), servers)
		}
	}
}

// usage is what this process has used and done so far, or in between.
type usage struct {
	seconds, user, system, beats float64
}

func (c *counted) usage() usage {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return usage{
		float64(wire.Now()) / 1e9, float64(u.Utime.Nano()) / 1e9,
		float64(u.Stime.Nano()) / 1e9, float64(c.beats.Load()),
	}
}

func (u usage) since(v usage) usage {
	return usage{u.seconds - v.seconds, u.user - v.user, u.system - v.system, u.beats - v.beats}
}

// perBeat is in microseconds of CPU.
func (u usage) perBeat() float64 { return (u.user + u.system) / u.beats * 1e6 }

func (u usage) report(b *testing.B, pairs int) {
	b.ReportMetric(u.perBeat(), "µs-cpu/beat")
	b.ReportMetric(u.user/u.beats*1e6, "µs-user/beat")
	b.ReportMetric(u.beats/u.seconds, "beats/s")
	b.ReportMetric(u.perBeat()*8*10000/1e6, "cores/10k-pairs")         // at the full rate, also if it was not reached
	b.ReportMetric(100*u.beats/(float64(8*pairs)*u.seconds), "%heard") // below 100, the machine is too small for both sides
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
