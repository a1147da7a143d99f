package check_test

import (
	"os"
	"slices"
	"testing"

	"mcctl/pkg/check"
	"mcctl/pkg/pair"
	"mcctl/pkg/pgconf"
)

// restarted are the checks of what PostgreSQL reads at its start, or what a
// supervisor would put right at once: tried with the supervisors away.
func restarted() []spoiled {
	with := func(on pair.Server, settings ...string) func(*stage) func() {
		return func(s *stage) func() {
			s.restart(on, settings...)
			return func() { s.restart(on) }
		}
	}
	return []spoiled{
		{id: "restart-after-crash", on: one, spoil: with(one, "restart_after_crash=on")},
		{id: "hot-standby", on: one, spoil: with(one, "hot_standby=off")},
		{id: "recovery-target", on: one, spoil: with(one, "recovery_target_name=x")},
		{id: "recovery-target", on: one, spoil: with(one, "recovery_target_timeline=current")},
		{id: "replication-slots", on: one, spoil: with(one, "max_replication_slots=1")},
		{id: "primary-limits", on: one, spoil: with(one, "max_connections=50")},
		{id: "standby-limits", on: two, spoil: func(s *stage) func() {
			// When it replays the change the standby stops replaying, and before 14 it ends: so
			// that it can be looked at it does not come so far. It does not start again with less.
			s.sql(two, "select pg_wal_replay_pause()")
			s.restart(one, "max_connections=400")
			return func() { s.restart(two, "max_connections=400") }
		}},
		{id: "managed-override", on: one, spoil: func(s *stage) func() {
			s.sql(one, "alter system set synchronous_standby_names = ''")
			return func() { s.sql(one, "alter system reset synchronous_standby_names") }
		}},
		// From here on the standby cannot follow any more.
		{id: "wal-senders", on: one, spoil: with(one, "max_wal_senders=2")},
		{id: "rewind-possible", on: one, spoil: withoutHints},
		{id: "wal-level", on: one, spoil: func(s *stage) func() {
			s.program("pg_ctl", "-D", s.lab.Data(two), "-w", "-m", "fast", "stop")
			s.sql(one, "select pg_drop_replication_slot(slot_name) from pg_replication_slots") // a slot needs the level
			s.restart(one, "wal_level=minimal", "max_wal_senders=0", "archive_mode=off")
			return func() { s.restart(one) }
		}},
	}
}

// restart starts a server anew, with the settings on its command line.
func (s *stage) restart(on pair.Server, settings ...string) {
	s.Helper()
	options := "-c restart_after_crash=off"
	for _, setting := range settings {
		options += " -c " + setting
	}
	s.program("pg_ctl", "-D", s.lab.Data(on), "-w", "-m", "fast", "-l", s.conf[on].Path("log", "restart.log"), "-o", options, "restart")
}

// withoutHints has neither hints nor checksums; pg_control tells so as well.
func withoutHints(s *stage) func() {
	s.program("pg_ctl", "-D", s.lab.Data(one), "-w", "-m", "fast", "stop")
	s.program("pg_checksums", "--disable", "-D", s.lab.Data(one))
	s.program("pg_ctl", "-D", s.lab.Data(one), "-w", "-l", s.conf[one].Path("log", "restart.log"), "-o", "-c wal_log_hints=off", "start")
	return func() { s.restart(one) }
}

func (s *stage) withRestarts() {
	s.mcctl("stop", "--mc-only", "-M", s.lab.Mcdir(one))
	s.mcctl("stop", "--mc-only", "-M", s.lab.Mcdir(two))
	// Nobody shall wait for the standby here, which is gone in the end.
	conf := s.conf[one].Server.ConfigFile
	b, err := os.ReadFile(conf)
	s.ok(err)
	f := pgconf.Parse(b)
	f.CommentOut("synchronous_standby_names")
	s.ok(os.WriteFile(conf, f.Bytes(), 0o600))
	s.restart(one)
	s.clean(restarted()...)
	for _, c := range restarted() {
		s.Run(c.id, func(t *testing.T) {
			s := &stage{T: t, lab: s.lab, conf: s.conf}
			s.spoil(c)()
			s.clean(c)
		})
	}
	// A server that is down is not looked at, and its files are.
	s.program("pg_ctl", "-D", s.lab.Data(one), "-w", "-m", "fast", "stop")
	r := check.Judge(s.looks(), check.Table())
	for _, n := range r.NotLooked {
		if n.Server == one && slices.Contains(n.IDs, "wal-level") && !slices.Contains(n.IDs, "data-mode") {
			return
		}
	}
	s.Errorf("a stopped server was looked at as if it ran: %+v", r.NotLooked)
}
