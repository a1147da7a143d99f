package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"mcctl/pkg/pair"
)

// xid runs statements in one transaction and returns its number and how it ended.
func xid(t *testing.T, in *Instance, end string, statements ...string) uint32 {
	t.Helper()
	conn := client(t, in)
	var n uint32
	run := func(sql string) {
		if _, err := conn.Exec(within(t), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	run("begin")
	for _, sql := range statements {
		run(sql)
	}
	var text string
	ok(t, conn.QueryRow(within(t), "select pg_current_xact_id()::text").Scan(&text))
	v, err := strconv.ParseUint(text, 10, 32)
	ok(t, err)
	n = uint32(v)
	run(end)
	return n
}

// What pg_waldump says of a tail is read on every version alike: which transactions
// were committed, by whatever kind of commit, and what they wrote to.
//
// Needs pg_waldump.
func TestReadWAL(t *testing.T) {
	in := newServer(t)
	configure(t, in, "max_prepared_transactions = 5")
	start(t, in)
	execute(t, in, "create table a (i int primary key, t text)")
	execute(t, in, "checkpoint")
	from, err := pair.ParseLSN(query(t, in, "pg_current_wal_insert_lsn()"))
	ok(t, err)
	began := time.Now().Add(-time.Second)
	plain := xid(t, in, "commit", "insert into a select 1, string_agg(md5(g::text), '') from generate_series(1, 400) g")
	nested := xid(t, in, "commit", "select pg_current_xact_id()", "savepoint s", "insert into a values (2)", "release s", "savepoint s", "insert into a values (3)", "rollback to s")
	xid(t, in, "rollback", "insert into a values (4)")
	two := xid(t, in, "prepare transaction 'two'", "insert into a values (5)")
	execute(t, in, "commit prepared 'two'")
	left := xid(t, in, "prepare transaction 'left'", "insert into a values (6)")
	back := xid(t, in, "prepare transaction 'back'", "insert into a values (7)")
	execute(t, in, "rollback prepared 'back'")
	made := xid(t, in, "commit", "create table b as select 1 as x")
	until := query(t, in, "pg_current_wal_flush_lsn()")
	numbers := query(t, in, "pg_relation_filenode('b')")
	tail, err := in.TailBeyond(nil, 1, from)
	ok(t, err)
	if len(tail.Segments) == 0 || tail.Timeline != 1 || tail.From != from || tail.Stamp() == "" {
		t.Fatalf("the tail is %+v", tail)
	}
	dir := filepath.Dir(tail.Segments[0].Path)
	got, err := in.ReadWAL(within(t), dir, 1, from, 0, 100)
	ok(t, err)
	var xids []uint32
	for _, c := range got.Commits {
		xids = append(xids, c.XID)
		if c.At.Before(began) || c.At.After(time.Now().Add(time.Second)) || c.LSN < from || c.End <= c.LSN || c.Prepared != (c.XID == left) {
			t.Errorf("transaction %d: %+v", c.XID, c)
		}
	}
	if want := []uint32{plain, nested, two, made, left}; !slices.Equal(xids, want) || got.Count != len(want) || slices.Contains(xids, back) {
		t.Errorf("committed are %v (%d), want %v", xids, got.Count, want)
	}
	if end, _ := pair.ParseLSN(until); got.End < end || tail.End() < end {
		t.Errorf("the end is %s by records and %s by pages, want %s", got.End, tail.End(), end)
	}
	names, err := sourceOf(in, "names").RelationNames(within(t), got.Commits[0].Relations)
	ok(t, err)
	for _, rel := range got.Commits[0].Relations { // table, index, TOAST table and its index
		if names[rel] != "postgres.public.a" || got.Made(rel) {
			t.Errorf("%+v is called %q, made %v", rel, names[rel], got.Made(rel))
		}
	}
	if len(got.Commits[0].Relations) != 4 || len(got.Commits[1].Relations) == 0 {
		t.Errorf("written to: %+v", got.Commits[:2])
	}
	file, _ := strconv.ParseUint(numbers, 10, 32)
	if i := slices.IndexFunc(got.Commits[3].Relations, func(n RelNumber) bool { return n.Number == uint32(file) }); i < 0 || !got.Made(got.Commits[3].Relations[i]) {
		t.Errorf("a table that is made there: %+v", got.Commits[3])
	}
	few, err := in.ReadWAL(within(t), dir, 1, from, got.Commits[0].End, 1)
	if err != nil || len(few.Commits) != 1 || few.Commits[0].XID != plain {
		t.Errorf("to the end of the first: %+v, %v", few, err)
	}
}

// Needs pg_waldump.
func TestReadWALSaysWhatIsWrong(t *testing.T) {
	in := newServer(t)
	start(t, in)
	execute(t, in, "checkpoint")
	end, err := pair.ParseLSN(query(t, in, "pg_current_wal_flush_lsn()"))
	ok(t, err)
	dir := filepath.Join(in.Data, "pg_wal")
	if got, err := in.ReadWAL(within(t), dir, 1, end, 0, 10); err != nil || got.Count != 0 {
		t.Errorf("beyond the end there is nothing: %+v, %v", got, err)
	}
	if _, err := in.ReadWAL(within(t), dir, 1, 0x20, 0, 10); err == nil {
		t.Error("log that has gone was read")
	}
	bare := &Instance{Data: in.Data, Bin: t.TempDir()}
	if _, err := bare.ReadWAL(within(t), dir, 1, end, 0, 10); !errors.Is(err, ErrNoWaldump) {
		t.Errorf("without the program: %v", err)
	}
}

// Segments that are made in advance, or kept for use again, are not log.
func TestTheTailHasNoSegmentsThatAreNotInUse(t *testing.T) {
	in := newServer(t)
	pid := start(t, in)
	for range 3 {
		execute(t, in, "select pg_logical_emit_message(true, '', 'x'), pg_switch_wal()")
	}
	execute(t, in, "checkpoint")
	ok(t, in.Stop(within(t), pid, Fast))
	control, err := in.Control()
	ok(t, err)
	all, err := in.segments()
	ok(t, err)
	files, err := filepath.Glob(filepath.Join(in.Data, "pg_wal", "0000*"))
	ok(t, err)
	last := all[len(all)-1]
	if last.End <= control.Checkpoint || len(all) > len(files) {
		t.Errorf("%d segments of %d files, to %s; the shutdown checkpoint is at %s", len(all), len(files), last.End, control.Checkpoint)
	}
	// A file of later, with the content of an earlier one, as one that was recycled.
	b, err := os.ReadFile(last.Path)
	ok(t, err)
	ok(t, os.WriteFile(filepath.Join(in.Data, "pg_wal", "00000001000000000000FFFF"[:24]), b, 0o600))
	again, err := in.segments()
	if err != nil || len(again) != len(all) {
		t.Errorf("%d segments, were %d, %v", len(again), len(all), err)
	}
	// All is known there: nothing is beyond.
	tail, err := in.TailBeyond(nil, 1, control.Checkpoint+0x2000)
	if err != nil || tail.End() > last.End {
		t.Errorf("%+v, %v", tail, err)
	}
}

func TestWhereHistoriesPart(t *testing.T) {
	const end = ^pair.LSN(0)
	for _, c := range []struct {
		name string
		a, b []Fork
		on   pair.Timeline
		at   pair.LSN
	}{
		{"the other was promoted", []Fork{{1, end}}, []Fork{{1, 100}, {2, 500}}, 1, 100},
		{"after a fork of both", []Fork{{1, 100}, {2, end}}, []Fork{{1, 100}, {2, 300}, {3, 500}}, 2, 300},
		{"both were promoted", []Fork{{1, 120}, {2, end}}, []Fork{{1, 100}, {3, 500}}, 1, 100},
		{"this one was promoted, the other was not", []Fork{{1, 120}, {2, end}}, []Fork{{1, 500}}, 1, 120},
		{"one timeline", []Fork{{1, end}}, []Fork{{1, 500}}, 1, 500},
		{"nothing in common", []Fork{{4, end}}, []Fork{{1, 500}}, 0, 0},
	} {
		if on, at := part(c.a, c.b); on != c.on || at != c.at {
			t.Errorf("%s: %d at %s, want %d at %s", c.name, on, at, c.on, c.at)
		}
	}
}
