package agent

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/wire"
)

func TestAReportIsToldOnceUntilItChanges(t *testing.T) {
	var tell telling
	first := wire.Report{Server: "server1", Insert: 7}
	is := func(what string, r wire.Report, refresh time.Duration, want bool) {
		t.Helper()
		if got := tell.due(r, refresh); got != want {
			t.Errorf("%s: due %v", what, got)
		}
	}
	is("nothing was told", first, time.Hour, true)
	is("sent, and no answer", first, time.Hour, true)
	tell.answered()
	is("answered", first, time.Hour, false)
	moved := first
	moved.Insert++
	is("a position moved", moved, time.Hour, true)
	tell.answered()
	is("back again", first, time.Hour, true)
	tell.answered()
	is("old", first, 0, true)
	tell.forget()
	is("another connection", first, time.Hour, true)
}

// What is outstanding when the connection ends may or may not have arrived.
func TestAConnectionThatEndsTakesWhatWasToldWithIt(t *testing.T) {
	var tell telling
	tell.due(wire.Report{Insert: 1}, time.Hour)
	tell.forget()
	if !tell.due(wire.Report{Insert: 1}, time.Hour) {
		t.Error("the new connection is not told")
	}
}

// listener is the other server: it keeps the reports and counts the bare heartbeats.
type listener struct {
	reports chan wire.Report
	beats   atomic.Int64
}

func (l *listener) Handle(_ context.Context, _ wire.Identity, _ string, body json.RawMessage) (any, error) {
	var r wire.Report
	err := json.Unmarshal(body, &r)
	l.reports <- r
	return nil, err
}
func (l *listener) Gone(wire.Identity) {}

func (l *listener) Beat(wire.Identity, time.Duration) bool {
	l.beats.Add(1)
	return false
}

// serve listens on server2's address until end is called.
func (l *listener) serve(t *testing.T, a *Agent, tls *wire.TLSPair) (end func()) {
	t.Helper()
	ln, err := wire.ListenTLS(a.config.Endpoint("server2").Admin, tls.Server)
	ok(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- wire.Serve(ctx, ln, l) }()
	return func() {
		cancel()
		ok(t, received(t, done))
	}
}

// While nothing happens heartbeats are bare. What is new travels at the next one, and
// whoever connects anew is told everything.
func TestHeartbeatsCarryReportsWhenThereIsSomethingToSay(t *testing.T) {
	c, ca := mcdir(t)
	c.Pair.Timings.HeartbeatInterval.Duration, c.Pair.Timings.HeartbeatTimeout.Duration = 5*time.Millisecond, time.Hour
	a, dir := newAgent(t, c), t.TempDir()
	ok(t, wire.NewCertificate(ca, "p", "server2", dir))
	tls, err := wire.LoadTLS(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "server2.crt"), filepath.Join(dir, "server2.key"))
	ok(t, err)
	l := &listener{reports: make(chan wire.Report, 1000)}
	end := l.serve(t, a, tls)
	a.group.run("link", a.link.Run)
	if r := received(t, l.reports); r.Server != "server1" || r.Insert != 0 {
		t.Errorf("the first report is %+v", r)
	}
	// The report's answer and a heartbeat may cross; after three it has been read.
	quiet := func() {
		t.Helper()
		from := l.beats.Load() + 3
		eventually(t, "heartbeats go on", func() bool { return l.beats.Load() >= from })
		if n := len(l.reports); n > 0 {
			t.Errorf("%d reports that say nothing new, the last is %+v", n, <-l.reports)
		}
	}
	quiet()
	a.board.Set(func(s *board.Sight) { s.Look.Insert = 9 }) // no news, but new
	if r := received(t, l.reports); r.Insert != 9 {
		t.Errorf("the position moved, and the report is %+v", r)
	}
	quiet()
	end()
	end = l.serve(t, a, tls)
	if r := received(t, l.reports); r.Insert != 9 {
		t.Errorf("on a new connection the report is %+v", r)
	}
	quiet()
	end()
}
