package agent

import (
	"context"
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"mcctl/pkg/board"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

var otherServer = wire.Identity{Pair: "p", Name: "server2"}

func TestWhoMayAskWhat(t *testing.T) {
	a := someAgent(t)
	operator := wire.Identity{Name: wire.LocalName}
	const noBusiness, notHere = "has no business here", "is not a request"
	for _, c := range []struct {
		from   wire.Identity
		kind   string
		body   any
		reason string // empty: it is served
	}{
		{otherServer, wire.KindReport, wire.Report{}, ""},
		{otherServer, wire.KindStatus, nil, notHere},
		{otherServer, wire.KindExplain, nil, notHere},
		{otherServer, wire.KindPIDs, nil, notHere},
		{otherServer, wire.KindCheck, nil, notHere},
		{otherServer, wire.KindInspect, wire.InspectRequest{Clock: true}, ""},
		{otherServer, "nonsense", nil, notHere},
		{otherServer, "", nil, notHere},
		{operator, wire.KindStatus, nil, ""},
		{operator, wire.KindStatus, wire.StatusRequest{Replication: true}, ""},
		{operator, wire.KindCheck, nil, ""},
		{operator, wire.KindExplain, nil, ""},
		{operator, wire.KindPIDs, nil, ""},
		{operator, "nonsense", nil, notHere},
		{wire.Identity{Pair: "p", Name: "server1"}, wire.KindReport, wire.Report{}, noBusiness},
		{wire.Identity{Pair: "p", Name: "server3"}, wire.KindReport, wire.Report{}, noBusiness},
		{wire.Identity{Pair: "p", Name: "arbiter"}, wire.KindLearn, nil, noBusiness},
		{wire.Identity{Pair: "q", Name: "server2"}, wire.KindReport, wire.Report{}, noBusiness},
		{wire.Identity{Pair: "q", Name: "server2"}, wire.KindStop, wire.StopRequest{}, noBusiness},
		{wire.Identity{Name: "server2"}, wire.KindReport, wire.Report{}, noBusiness},
		{wire.Identity{}, wire.KindStatus, nil, noBusiness},
	} {
		_, err := a.Handle(t.Context(), c.from, c.kind, body(c.body))
		switch {
		case c.reason == "" && err != nil:
			t.Errorf("%s asks %q: %v", c.from, c.kind, err)
		case c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)):
			t.Errorf("%s asks %q: %v, want %q", c.from, c.kind, err, c.reason)
		}
	}
	if s := a.board.Read(); s.ReportAt == 0 {
		t.Error("the report of the other server was not noted")
	}
}

// The same over real connections, where certificates tell who asks.
func TestCertificatesTellWhoAsks(t *testing.T) {
	c, ca := mcdir(t)
	a := newAgent(t, c)
	admin, control, err := a.listen()
	ok(t, err)
	a.group.run("serve servers", func(ctx context.Context) error { return wire.Serve(ctx, admin, a) })
	a.group.run("serve operators", func(ctx context.Context) error { return wire.Serve(ctx, control, a) })
	ask := func(of, name, kind string) error {
		dir := filepath.Join(t.TempDir(), of)
		ok(t, wire.NewCertificate(ca, of, name, dir))
		tls, err := wire.LoadTLS(filepath.Join(dir, "ca.crt"), filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
		ok(t, err)
		client := tls.Client("server1")
		client.VerifyConnection = nil // the server alone judges
		conn, err := wire.Dial(t.Context(), "tcp", admin.Addr().String(), client)
		if err != nil {
			return err
		}
		defer conn.Close()
		return conn.Call(t.Context(), kind, wire.Report{Postgres: name}, nil)
	}
	for _, c := range []struct {
		of, name, kind string
		served         bool
	}{
		{"p", "server2", wire.KindReport, true},
		{"p", "server2", wire.KindStatus, false},
		{"p", "server2", wire.KindPIDs, false},
		{"p", "server1", wire.KindReport, false},
		{"p", "arbiter", wire.KindReport, false},
		{"q", "server2", wire.KindReport, false},
		{"q", "server2", wire.KindStatus, false},
	} {
		if err := ask(c.of, c.name, c.kind); (err == nil) != c.served {
			t.Errorf("%s of pair %s asks %q: %v, want served %v", c.name, c.of, c.kind, err, c.served)
		}
	}
	if s := a.board.Read(); s.Report.Postgres != "server2" {
		t.Errorf("heard %+v", s.Report)
	}

	conn, err := wire.Dial(t.Context(), "unix", c.Path("run", "control.sock"), nil)
	ok(t, err)
	defer conn.Close()
	var st wire.Status
	ok(t, conn.Call(t.Context(), wire.KindStatus, nil, &st))
	if st.Pair != "p" || st.Local != "server1" {
		t.Errorf("the status is %+v", st)
	}
}

func TestOnlyTheOtherServersHeartbeatsCount(t *testing.T) {
	a := someAgent(t)
	a.Beat(wire.Identity{Pair: "p", Name: "arbiter"}, wire.Now())
	a.Beat(wire.Identity{Pair: "p", Name: "server1"}, wire.Now())
	if s := a.board.Read(); s.Heard != 0 || s.Inbound {
		t.Errorf("a stranger was taken for the other server: %+v", s)
	}
	a.Beat(otherServer, wire.Now())
	if s := a.board.Read(); s.Heard == 0 || !s.Inbound {
		t.Errorf("the heartbeat was not noted: %+v", s)
	}
	a.Gone(wire.Identity{Pair: "p", Name: "arbiter"})
	if s := a.board.Read(); !s.Inbound {
		t.Error("a stranger's end was taken for the other server's")
	}
	a.Gone(otherServer)
	if s := a.board.Read(); s.Inbound {
		t.Error("the end of the connection was not noted")
	}
}

func TestRequestsThatCannotBeReadChangeNothing(t *testing.T) {
	a := someAgent(t)
	before := a.board.Read()
	for _, kind := range []string{wire.KindReport, wire.KindLearn, wire.KindHolds, wire.KindFailover, wire.KindSwitch, wire.KindJob, wire.KindCancel, wire.KindStop} {
		if _, err := a.Handle(t.Context(), otherServer, kind, json.RawMessage(`"not an object"`)); err == nil || !strings.HasPrefix(err.Error(), "read ") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if after := a.board.Read(); !reflect.DeepEqual(after, before) {
		t.Errorf("the board has changed:\n%+v\nbefore\n%+v", after, before)
	}
}

// A standby that is paired, for all that the primary knows, may be the other good copy (S4).
func TestWhatWasPledgedCountsForWhoeverReplacesData(t *testing.T) {
	alone, paired, later := rec(2, 9, "server1", pair.Alone), rec(2, 9, "server1", pair.Paired), rec(2, 11, "server1", pair.Alone)
	for _, c := range []struct{ keeps, copied, want record.Record }{
		{alone, alone, alone}, {alone, paired, paired}, {paired, paired, paired}, {later, paired, later},
	} {
		if got := promised(board.Sight{Record: c.keeps, Copy: c.copied}); got != c.want {
			t.Errorf("by the keeper %s, here %s: told %s", c.keeps, c.copied, got)
		}
	}
}

// Who rewinds or copies from here relies on the answer (S4).
func TestHistoryIsToldByTheOpenPrimaryOnly(t *testing.T) {
	a := someAgent(t)
	for name, change := range map[string]func(*board.Sight){
		"no record": func(s *board.Sight) { s.PID, s.LookAt = 7, 1 },
		"standby":   func(s *board.Sight) { s.Record, s.PID, s.LookAt = rec(1, 2, "server2", pair.Alone), 7, 1 },
		"not promoted": func(s *board.Sight) {
			s.Record, s.PID, s.LookAt, s.Look.InRecovery = rec(1, 2, "server1", pair.Alone), 7, 1, true
		},
		"behind a gate": func(s *board.Sight) {
			s.Record, s.PID, s.LookAt, s.Gated = rec(1, 2, "server1", pair.Alone), 7, 1, true
		},
		"down": func(s *board.Sight) { s.Record = rec(1, 2, "server1", pair.Alone) },
	} {
		a.board.Set(func(s *board.Sight) { *s = board.Sight{Known: true}; change(s) })
		if _, err := a.Handle(t.Context(), otherServer, wire.KindHistory, nil); err == nil || !strings.Contains(err.Error(), "server1 is not the open primary now") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
