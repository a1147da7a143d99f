package agent

import (
	"errors"
	"strings"
	"testing"

	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

func TestOneLine(t *testing.T) {
	for _, c := range []struct{ err, want string }{
		{"connect: refused", "connect: refused"},
		{"it exited; the log says:\n2026-11-20 22:59 UTC [1] LOG:  starting\n2026-11-20 UTC [1] HINT:  Is another there?\n2026-11-20 UTC [1] FATAL:  no  sockets\nmore", "it exited; the log says: HINT: Is another there? FATAL: no sockets"},
		{"run pg_rewind: exit status 1; its last lines:\npg_rewind: error: no common ancestor", "run pg_rewind: exit status 1; its last lines: error: no common ancestor"},
	} {
		if got := oneLine(errors.New(c.err)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.err, got, c.want)
		}
	}
}

// A trouble is told as long as it is the present postmaster's, and lasts.
func TestProblem(t *testing.T) {
	a := someAgent(t)
	shut := board.Sight{Known: true, PID: 7, LookTrouble: board.Trouble{PID: 7, Text: "not let in", Lasting: true}}
	earlier := shut
	earlier.PID = 8
	seen := shut
	seen.LookAt = wire.Now()
	cut := board.Sight{Known: true, PID: 7, LookAt: wire.Now(), Look: postgres.Look{InRecovery: true}, StreamTrouble: board.Trouble{PID: 7, Text: "another cluster"}}
	streams := cut
	streams.Look.Receiver.Status = "streaming"
	for name, c := range map[string]struct {
		sight   board.Sight
		want    string
		lasting bool
	}{
		"refused":                  {shut, "not let in", true},
		"an earlier postmaster's":  {earlier, "", false},
		"let in since":             {seen, "", false},
		"a standby that is cut":    {cut, "another cluster", false},
		"a standby that streams":   {streams, "", false},
		"nothing was ever seen":    {board.Sight{}, "", false},
		"PostgreSQL is down since": {board.Sight{Known: true, LookTrouble: board.Trouble{PID: 7, Text: "x"}}, "", false},
	} {
		if text, lasting := a.problem(c.sight); text != c.want || lasting != c.lasting {
			t.Errorf("%s: got %q, %t, want %q, %t", name, text, lasting, c.want, c.lasting)
		}
	}
	a.runner.failed, a.runner.why = "", nil
	if step := a.nextStep(shut, a.limits.Classify(shut, wire.Now())); !strings.Contains(step, "not let in") {
		t.Errorf("the next step is %q", step)
	}
}

// Whoever is not reached is named with its address and the reason: an address that is
// wrong is not mended by starting what is there.
func TestTheNextStepNamesWhoIsNotReached(t *testing.T) {
	a := someAgent(t)
	there := a.config.Endpoint("server2").Admin
	stranger := wire.LinkState{Error: "reached q/server2, which belongs to another pair than p/server1: check the address"}
	mine := board.Sight{Known: true, Record: rec(1, 1, "server1", pair.Alone), Confirmed: true, KeeperReached: true}
	for name, c := range map[string]struct {
		change func(*board.Sight, *decide.Facts)
		want   string
	}{
		"nobody listens": {
			func(s *board.Sight, f *decide.Facts) {
				f.Peer, s.Link = decide.PeerRefused, wire.LinkState{Refused: true, Error: "x"}
			},
			"no supervisor of server2 listens at " + there + ": start it there with mcctl start",
		},
		"silence": {
			func(s *board.Sight, f *decide.Facts) { f.Peer = decide.PeerLost },
			"the supervisor of server2 at " + there + " is lost: start it there with mcctl start",
		},
		"a stranger": {
			func(s *board.Sight, f *decide.Facts) { f.Peer, s.Link = decide.PeerLost, stranger },
			"the supervisor of server2 at " + there + " is lost: " + stranger.Error,
		},
		"the primary was stopped on purpose": {
			func(s *board.Sight, f *decide.Facts) {
				f.Record, f.Peer, s.PeerResting = decide.RecordTheirs, decide.PeerLost, true
			},
			"the supervisor of server2 at " + there + " is lost: start it there with mcctl start; server2 was stopped on purpose, so nobody takes over: if it does not come back, mcctl switch --force",
		},
		"the record is unread": {
			func(s *board.Sight, f *decide.Facts) { f.Record, s.Link = decide.RecordUnread, stranger },
			"the record has not been read: start the arbiter, or the other server; server2 at " + there + ": " + stranger.Error,
		},
		"the primary's data is away": {
			func(s *board.Sight, f *decide.Facts) { f.Record, f.Data = decide.RecordMine, decide.DataBroken },
			"this server is the primary, but its data directory " + a.config.Server.DataDirectory + " is empty or half made: check data_directory in server.toml and whether its file system is mounted; if the data is lost, only what server2 has is left",
		},
	} {
		s, f := mine, decide.Facts{Record: decide.RecordMine, Keeper: decide.KeeperReached, Failover: decide.FailoverOn}
		c.change(&s, &f)
		if got := a.nextStep(s, f); got != c.want {
			t.Errorf("%s: the next step is %q, want %q", name, got, c.want)
		}
	}
}

// Nothing but the primary is there to be started, and force is the one remedy.
func TestWithoutAnArbiterNoneIsSaidToBeAway(t *testing.T) {
	a := someAgent(t)
	a.config.Pair.Arbiter.Kind = config.None
	s := board.Sight{Known: true, Record: rec(1, 1, "server2", pair.Paired)}
	got := a.nextStep(s, decide.Facts{Record: decide.RecordTheirs, Keeper: decide.KeeperUnreached, Failover: decide.FailoverOn, Peer: decide.PeerLost})
	if strings.Contains(got, "arbiter at") || !strings.HasSuffix(got, "if server2 is gone for good, mcctl switch --force") {
		t.Errorf("the next step is %q", got)
	}
}

// What only the other server knows is told here too, and one's own wish of a reign that is
// over is not.
func TestWhatTheOtherServerKnowsIsToldHere(t *testing.T) {
	a := someAgent(t)
	for name, c := range map[string]struct {
		primary pair.Server
		mode    pair.Mode
		own     bool
		report  wire.Report
		want    string
		held    bool
	}{
		"held off by the primary": {"server2", pair.Alone, false, wire.Report{Held: true}, "server1 was detached by an operator: on server2: mcctl attach", true},
		"a detach cut off there":  {"server2", pair.Paired, false, wire.Report{Held: true}, "a detach was cut off: server1 is attached, but would not be again once it is lost: on server2: mcctl attach", true},
		"held off here":           {"server1", pair.Alone, true, wire.Report{}, "server2 was detached by an operator: mcctl attach", true},
		"an old wish of ours":     {"server2", pair.Alone, true, wire.Report{}, "not paired yet: see mcctl explain here and on server2", false},
		"an old wish of theirs":   {"server1", pair.Alone, false, wire.Report{Held: true}, "not paired yet: see mcctl explain here and on server2", false},
		"left down":               {"server2", pair.Paired, false, wire.Report{LeftDown: true}, "PostgreSQL of server2 is left down, as start --mc-only said: start it there with pg_ctl, or start that supervisor anew without that option", false},
		"its trouble":             {"server1", pair.Alone, false, wire.Report{Problem: "rejoin fails: x"}, "on server2: rejoin fails: x", false},
	} {
		s := board.Sight{Known: true, Record: rec(1, 1, c.primary, c.mode), Held: c.own, Report: c.report}
		f := decide.Facts{Record: decide.RecordTheirs, Keeper: decide.KeeperReached, Failover: decide.FailoverOn, Peer: decide.PeerHere, Mode: board.Mode(s)}
		a.config.Pair.Arbiter.Kind = config.None
		if got := a.nextStep(s, f); got != c.want || a.held(s, f) != c.held {
			t.Errorf("%s: held %t, the next step is %q, want %q", name, a.held(s, f), got, c.want)
		}
	}
}

// A primary without a record, and the other server not heard: it waits, force is of no
// use, and both say what is.
func TestWithoutAnyRecordTheOtherServerIsNeeded(t *testing.T) {
	a := someAgent(t)
	a.config.Pair.Arbiter.Kind = config.None
	s := board.Sight{Known: true, KeeperReached: true}
	_, err := a.force(true)
	if !errors.Is(err, wire.ErrRefused) {
		t.Errorf("force: %v", err)
	}
	for _, text := range []string{a.nextStep(s, a.limits.Classify(s, wire.Now())), err.Error()} {
		if !strings.Contains(text, "start server2, from whose copy it is found again") || !strings.Contains(text, "lost-host.md") {
			t.Errorf("it says %q", text)
		}
	}
}
