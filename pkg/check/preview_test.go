package check_test

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mcctl/pkg/check"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// preview is what switch --dry-run says, asked on the standby.
func (s *stage) preview() (p check.Preview) {
	s.Helper()
	s.ok(json.Unmarshal([]byte(s.mcctl("switch", "--dry-run", "-M", s.lab.Mcdir(two), "-o", "json")), &p))
	return p
}

func hurdle(p check.Preview, id string) check.Hurdle {
	i := slices.IndexFunc(p.Checks, func(h check.Hurdle) bool { return h.ID == id })
	if i < 0 {
		return check.Hurdle{}
	}
	return p.Checks[i]
}

// becomes waits until a check is in a state, and back to fine when it is mended.
func (s *stage) becomes(id, state string, mend func()) {
	s.Helper()
	s.eventually(id+" is "+state, func() bool { return hurdle(s.preview(), id).State == state })
	mend()
	s.eventually(id+" is fine again", func() bool { return hurdle(s.preview(), id).State == check.Fine })
}

// session is a client that stays, in the middle of what it does, until end is called.
func (s *stage) session(sql string) (end func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	p := s.conf[one].Server.Postgres
	cmd := exec.CommandContext(ctx, s.lab.BinDir()+"/psql", "-X", "-q", "-h", p.SocketDirectory, "-p", itoa(p.Port), "-U", p.User, "-d", p.Database, "-c", sql)
	s.ok(cmd.Start())
	return func() {
		// The client's end does not end a statement that sleeps.
		s.sql(one, "select pg_terminate_backend(pid) from pg_stat_activity where query = $$"+sql+"$$ and pid <> pg_backend_pid()")
		cancel()
		_ = cmd.Wait()
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// previews looks at a real pair before a switch: with nothing in the way, with each
// thing that may be, and after a switch that was measured.
func (s *stage) previews() {
	t := s.T
	p := s.preview()
	if !p.Possible() || len(p.Warnings()) != 0 || p.From != one || p.To != two || p.GapMS <= 0 || !strings.Contains(p.GapBasis, "no switch has been measured") {
		t.Errorf("a pair with nothing in the way: %+v", p)
	}
	s.sql(one, "create table t(n int)", "insert into t values (1)")
	holder := s.session("begin; update t set n = 2; select pg_sleep(600)")
	s.eventually("the row is locked", func() bool {
		return s.sql(one, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
	})
	waiter := s.session("begin; update t set n = 3; select pg_sleep(600)")
	s.becomes("blocked-sessions", check.Caution, func() {
		blocked := s.preview().InTheWay.Blocked
		if len(blocked) != 1 || len(blocked[0].By) != 1 || !strings.Contains(blocked[0].Query, "set n = 3") {
			t.Errorf("blocked: %+v", blocked)
		}
		text := s.mcctl("switch", "--dry-run", "-M", s.lab.Mcdir(one))
		if !strings.Contains(text, itoa(blocked[0].By[0])+" holds up\n  "+itoa(blocked[0].PID)+" waits since") {
			t.Errorf("the tree is not shown:\n%s", text)
		}
		waiter()
	})
	s.becomes("long-transactions", check.Caution, holder)
	s.sql(one, "begin", "insert into t values (4)", "prepare transaction 'forgotten'")
	s.becomes("prepared-transactions", check.Caution, func() { s.sql(one, "rollback prepared 'forgotten'") })
	s.sql(two, "select pg_wal_replay_pause()")
	s.becomes("replay-paused", check.Blocker, func() {
		s.refused("replay is paused on server2")
		s.sql(two, "select pg_wal_replay_resume()")
	})
	s.mcctl("disable-failover", "-M", s.lab.Mcdir(one)) // nothing of a switch, and no blocker
	back := s.set(one, "archive_command = 'false'")
	s.sql(one, "select pg_logical_emit_message(false, '', '')", "select pg_switch_wal()")
	s.becomes("archiver", check.Caution, back)
	s.mcctl("enable-failover", "-M", s.lab.Mcdir(one))
	s.mcctl("detach", "-M", s.lab.Mcdir(one))
	s.becomes("record", check.Blocker, func() {
		s.refused("the record is alone")
		s.mcctl("attach", "-M", s.lab.Mcdir(one))
	})
	s.aMeasuredSwitch()
}

// refused: a real switch meets the same checks.
func (s *stage) refused(why string) {
	s.Helper()
	out, err := exec.CommandContext(s.Context(), s.lab.Mcctl(), "switch", "-M", s.lab.Mcdir(one)).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 4 || !strings.Contains(string(out), why) {
		s.Errorf("switch: %v, want it refused because %q:\n%s", err, why, out)
	}
}

func (s *stage) aMeasuredSwitch() {
	s.Helper()
	s.sql(one, "begin", "insert into t values (5)", "prepare transaction 'kept'")
	text := s.mcctl("switch", "-M", s.lab.Mcdir(two))
	if !strings.Contains(text, "warning: 1 prepared transactions go over to server2") || !strings.Contains(text, "server2 is primary") {
		s.Fatalf("a switch with a warning:\n%s", text)
	}
	s.sql(two, "rollback prepared 'kept'") // it went over, as was said
	s.eventually("the switch is measured", func() bool {
		p := s.preview()
		return p.From == two && strings.HasPrefix(p.GapBasis, "switch-") && p.GapMS > 0
	})
}

// The lags, and what cannot be seen, without making the world so.
func TestForesee(t *testing.T) {
	sender := postgres.Outgoing{Name: "server2"}
	w := check.Way{
		From: one, To: two, MaxLag: 100, InTheWay: &postgres.InTheWay{},
		Primary: &postgres.Progress{Senders: []postgres.Outgoing{sender}}, Standby: &postgres.Progress{InRecovery: true},
	}
	if p := check.Foresee(w); !p.Possible() || len(p.Warnings()) != 0 {
		t.Errorf("nothing in the way: %+v", p)
	}
	lag := 2.0
	w.Primary.Senders[0] = postgres.Outgoing{Name: "server2", FlushBytes: 101, ReplayBytes: 1 << 30, ReplayLag: &lag}
	w.Last = &wire.Job{ID: "switch-1", Phase: "done", Steps: []wire.JobStep{{Phase: "closing", AtMS: 100}, {Phase: "done", AtMS: 400}}}
	p := check.Foresee(w)
	if hurdle(p, "flush-lag").State != check.Caution || hurdle(p, "replay-lag").State != check.Caution || p.GapMS != 2300 {
		t.Errorf("a standby behind: %+v", p)
	}
	for _, h := range check.Foresee(check.Way{From: one, To: two}).Checks {
		if h.State != check.NotSeen || h.Text == "" {
			t.Errorf("not looked at, yet %+v", h)
		}
	}
}

func TestNextStep(t *testing.T) {
	age := 3.0
	idle := postgres.Progress{Slots: []postgres.SlotUse{{Name: "a", Retained: 2 << 30}}}
	for _, c := range []struct {
		seen *postgres.Progress
		want string
	}{
		{nil, ""},
		{&postgres.Progress{}, ""},
		{&idle, "slot a on server2 is not used and keeps 2.0 GB"},
		{&postgres.Progress{ReplayPaused: true, Slots: idle.Slots}, "replay is paused on server2"},
		{&postgres.Progress{ReplayPaused: true, Slots: []postgres.SlotUse{{Name: "b", Status: "lost"}}}, "slot b on server2 has lost log"},
		{&postgres.Progress{Archiver: postgres.Archiver{On: true, Failing: true, LastWAL: "W", FailureAge: &age}}, "archiving W fails on server2, for 3 s"},
		{&postgres.Progress{Archiver: postgres.Archiver{On: true, Ready: 17}}, "17 segments wait"},
		{&postgres.Progress{Archiver: postgres.Archiver{Ready: 17}}, ""},
	} {
		got := check.NextStep(one, two, &postgres.Progress{}, c.seen)
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.seen, got, c.want)
		}
	}
}
