package postgres

import (
	"strings"
	"testing"
	"time"
)

func TestProgressOfAPair(t *testing.T) {
	primary, standby := newPair(t)
	p, s := connect(t, primary), connect(t, standby)
	ok(t, p.EnsureSlot(within(t), "kept"))
	execute(t, primary, "insert into t values (1)")
	here, err := p.Progress(within(t))
	ok(t, err)
	if here.InRecovery || here.Insert == 0 || here.Flushed == 0 || here.Replayed != 0 || here.Receiver != nil || here.Conflicts != nil || here.Archiver.On {
		t.Errorf("primary: %+v", here)
	}
	if len(here.Senders) != 1 || here.Senders[0].Name != "s" || here.Senders[0].SyncState != "sync" || here.Senders[0].Flush == 0 || here.Senders[0].ReplyAge == nil {
		t.Errorf("senders: %+v", here.Senders)
	}
	if len(here.Slots) != 1 || here.Slots[0].Name != "kept" || here.Slots[0].Active || here.Slots[0].Status != "reserved" || here.Slots[0].Left != nil {
		t.Errorf("slots: %+v", here.Slots)
	}
	eventually(t, "the standby has replayed a commit", func() bool {
		there, err := s.Progress(within(t))
		ok(t, err)
		return there.Replayed >= here.Flushed
	})
	ok(t, s.PauseReplay(within(t)))
	execute(t, primary, "insert into t values (2)")
	there, err := s.Progress(within(t))
	ok(t, err)
	if !there.InRecovery || !there.ReplayPaused || there.Insert != 0 || there.Flushed < here.Flushed || there.Replayed >= there.Flushed || there.ReplayAge == nil {
		t.Errorf("standby: %+v", there)
	}
	if there.Receiver == nil || there.Receiver.Status != "streaming" || there.Receiver.Told == 0 || there.Conflicts == nil || there.Conflicts.Sum() != 0 {
		t.Errorf("standby: %+v, %+v", there.Receiver, there.Conflicts)
	}
	behind, err := p.Progress(within(t))
	ok(t, err)
	if behind.Senders[0].ReplayBytes == 0 || behind.Senders[0].FlushBytes > behind.Senders[0].ReplayBytes {
		t.Errorf("behind: %+v", behind.Senders[0])
	}
	ok(t, s.ResumeReplay(within(t)))
}

// A query on the standby that replay cancels is counted.
func TestProgressCountsConflicts(t *testing.T) {
	primary, standby := newPair(t)
	set(t, standby, "max_standby_streaming_delay = 0")
	execute(t, primary, "insert into t values (1)")
	reader := client(t, standby)
	_, err := reader.Exec(within(t), "begin isolation level repeatable read; select * from t")
	ok(t, err)
	execute(t, primary, "delete from t")
	execute(t, primary, "vacuum t")
	s := connect(t, standby)
	eventually(t, "the conflict is counted", func() bool {
		p, err := s.Progress(within(t))
		ok(t, err)
		return p.Conflicts.Sum() > 0
	})
}

// TestFactFailingArchiverDelaysShutdown: the archiver tries three times, a second
// apart, before PostgreSQL ends.
func TestFactFailingArchiverDelaysShutdown(t *testing.T) {
	in := newServer(t)
	configure(t, in, "archive_mode = on", "archive_command = 'false'")
	pid := start(t, in)
	execute(t, in, "select pg_logical_emit_message(false, '', 'x'), pg_switch_wal()")
	s := connect(t, in)
	eventually(t, "archiving fails", func() bool {
		p, err := s.Progress(within(t))
		ok(t, err)
		return p.Archiver.On && p.Archiver.Failing && p.Archiver.Ready > 0 && p.Archiver.FailureAge != nil && p.Archiver.LastWAL != ""
	})
	began := time.Now()
	ok(t, in.Stop(within(t), pid, Fast))
	if took := time.Since(began); took < time.Second {
		t.Errorf("the shutdown took %s: the archiver did not hold it up", took)
	}
}

func TestInspect(t *testing.T) {
	in := newServer(t)
	start(t, in)
	s := connect(t, in)
	i, err := s.Inspect(within(t))
	ok(t, err)
	if i.InRecovery || majorText(i.Version) != majorText(query(t, in, "current_setting('server_version')")) || i.DataBytes < 1<<20 || len(i.FileErrors)+len(i.HBAErrors)+len(i.PendingRestart)+len(i.SyncCommits)+len(i.Slots) != 0 {
		t.Errorf("%+v", i)
	}
	for _, name := range InspectedSettings() {
		if _, known := i.Settings[name]; !known && (name != "idle_replication_slot_timeout" || majorText(i.Version) == "18") {
			t.Errorf("no setting %s in this version", name)
		}
	}
	if got := i.Settings["wal_retrieve_retry_interval"]; got.Value != "100" || got.Unit != "ms" || got.Shown != "100ms" {
		t.Errorf("%+v", got)
	}
	execute(t, in, `create role r`)
	execute(t, in, `alter role r set synchronous_commit = off`)
	set(t, in, "synchronous_commit = local", "max_connections = 77")
	eventually(t, "it is told", func() bool {
		i, err := s.Inspect(within(t))
		ok(t, err)
		return len(i.SyncCommits) == 2 && len(i.PendingRestart) == 1 && len(i.FileErrors) == 0
	})
	set(t, in, "work_mem = nonsense")
	i, err = s.Inspect(within(t))
	ok(t, err)
	if len(i.FileErrors) != 1 || !strings.HasPrefix(i.FileErrors[0].Error, "work_mem: ") || i.FileErrors[0].Line == 0 {
		t.Errorf("a refused line: %+v", i.FileErrors)
	}
}

func majorText(version string) string {
	major, _, _ := strings.Cut(version, ".")
	return major
}

func TestReach(t *testing.T) {
	in := newServer(t)
	start(t, in)
	control, err := in.Control()
	ok(t, err)
	source := sourceOf(in, "check")
	reached, err := source.Reach(within(t))
	ok(t, err)
	if reached.SystemID != control.SystemID || len(reached.Lacks) != 0 {
		t.Errorf("as superuser: %+v", reached)
	}
	execute(t, in, "create role weak login")
	source.User = "weak"
	reached, err = source.Reach(within(t))
	ok(t, err)
	if len(reached.Lacks) != len(rewindFunctions()) {
		t.Errorf("as anybody: %+v", reached)
	}
	if _, err := source.Identify(within(t)); err == nil {
		t.Error("a role without REPLICATION made a replication connection")
	}
	execute(t, in, "alter role weak replication")
	id, err := source.Identify(within(t))
	if err != nil || id != control.SystemID {
		t.Errorf("%d, %v; want %d", id, err, control.SystemID)
	}
}

func TestInTheWay(t *testing.T) {
	in := newServer(t)
	configure(t, in, "max_prepared_transactions = 2")
	start(t, in)
	execute(t, in, "create table t(n int)")
	s := connect(t, in)
	w, err := s.InTheWay(within(t))
	ok(t, err)
	if len(w.Transactions)+len(w.Prepared)+len(w.Blocked)+w.Open != 0 || w.SharedBuffers != 16<<20 || w.SinceCheckpoint <= 0 {
		t.Errorf("%+v", w)
	}
	holder := client(t, in)
	_, err = holder.Exec(within(t), "begin; insert into t values (1); prepare transaction 'p1'; begin; lock table t in share update exclusive mode")
	ok(t, err)
	waiter := client(t, in)
	done := make(chan error, 1)
	go func() { _, err := waiter.Exec(within(t), "begin; lock table t"); done <- err }()
	eventually(t, "it is told who waits", func() bool {
		w, err = s.InTheWay(within(t))
		ok(t, err)
		return len(w.Blocked) == 1
	})
	if len(w.Prepared) != 1 || w.Prepared[0].GID != "p1" || w.Open < 1 || w.Clients < 2 || len(w.Blocked[0].By) == 0 {
		t.Errorf("%+v", w)
	}
	if _, known := s.DirtyBytes(within(t)); known {
		t.Error("dirty buffers are known without pg_buffercache")
	}
	execute(t, in, "create extension pg_buffercache")
	if dirty, known := s.DirtyBytes(within(t)); !known || dirty <= 0 || dirty > w.SharedBuffers {
		t.Errorf("%d bytes are dirty, %t", dirty, known)
	}
	_, err = holder.Exec(within(t), "rollback")
	ok(t, err)
	execute(t, in, "rollback prepared 'p1'")
	ok(t, <-done)
}

// pg_blocking_pids names also those further ahead in a queue ("System Information
// Functions"; pg_blocking_pids in lockfuncs.c): in a long one every session has all before it.
func TestInTheWayOfALongQueue(t *testing.T) {
	in := newServer(t)
	configure(t, in, "max_connections = 150")
	start(t, in)
	s := connect(t, in)
	execute(t, in, "create table t(n int)")
	holder := client(t, in)
	_, err := holder.Exec(within(t), "begin; lock table t")
	ok(t, err)
	ctx, done := within(t), make(chan error)
	for range 110 {
		waiter := client(t, in)
		go func() { _, err := waiter.Exec(ctx, "begin; lock table t; rollback"); done <- err }()
	}
	var w InTheWay
	eventually(t, "all of them wait", func() bool {
		w, err = s.InTheWay(within(t))
		ok(t, err)
		return w.Waiting == 110
	})
	if len(w.Blocked) != 100 {
		t.Errorf("%d are told", len(w.Blocked))
	}
	for _, b := range w.Blocked {
		if len(b.By) == 0 || len(b.By) > 20 || b.By[0] != int(holder.PgConn().PID()) {
			t.Errorf("%d waits for %d, not first for %d", b.PID, b.By, holder.PgConn().PID())
		}
	}
	_, err = holder.Exec(within(t), "rollback")
	ok(t, err)
	for range 110 {
		ok(t, <-done)
	}
}
