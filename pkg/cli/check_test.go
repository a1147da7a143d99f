package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/pkg/check"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

func TestCheckReportText(t *testing.T) {
	r := check.Report{
		Findings: []check.Finding{
			{ID: "fsync", Severity: check.Error, Server: "server1", What: "fsync is off, not on", Why: "commits are lost", Mend: "set it", Blocks: []check.Ability{check.Failover}},
			{ID: "no-arbiter", Severity: check.Info, Server: "server1", What: "none", Why: "so", Mend: "add one"},
		},
		NotLooked: []check.NotLooked{{Server: "server2", Why: "not reached", IDs: []string{"owner", "fsync"}}}, Clean: 7,
		Verdicts: []check.Verdict{{Ability: check.Failover, Works: check.No, Because: []string{"fsync"}}, {Ability: check.Switch, Works: check.Unknown, Because: []string{"owner"}}, {Ability: check.Rewind, Works: check.Yes}},
	}
	var b strings.Builder
	if err := writeReport(&b, r); err != nil {
		t.Fatal(err)
	}
	same(t, b.String(), `
ERROR fsync: server1: fsync is off, not on
    why   commits are lost
    mend  set it
INFO no-arbiter: server1: none
    why   so
    mend  add one

NOT LOOKED AT server2: not reached
    owner, fsync

found     1 errors, 0 warnings, 1 remarks; 7 checks clean, 2 not looked at
failover  would not work now, because of fsync
switch    cannot be told, without owner
rewind    would work now
`)
}

// Without a configuration, or with a key that anybody can read, there is one finding
// and nothing else is claimed.
func TestCheckWithoutConfiguration(t *testing.T) {
	dir := newMcdir(t)
	mcctl(t.Context(), "check", "-M", dir).wants(t, exitFailed, "ERROR configuration: ", "failover  would not work now, because of configuration", "mcctl check -M "+dir)
	writeConfig(t, dir)
	if err := os.Chmod(filepath.Join(dir, "key"), 0o644); err != nil {
		t.Fatal(err)
	}
	mcctl(t.Context(), "check", "-M", dir).wants(t, exitFailed, "can be read by others; run: chmod 600 "+dir+"/key")
}

// An mcdir whose PostgreSQL and supervisor do not run: what can be judged is, the
// rest is told, and the exit status is never 0.
func TestCheckOffline(t *testing.T) {
	dir := newMcdir(t)
	writeConfig(t, dir)
	got := mcctl(t.Context(), "check", "-M", dir, "-o", "json")
	var r check.Report
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	got.wants(t, exitFailed)
	for _, v := range r.Verdicts {
		if v.Works == check.Yes {
			t.Errorf("claimed to work: %+v", v)
		}
	}
	if len(r.NotLooked) < 2 {
		t.Errorf("not looked at: %+v", r.NotLooked)
	}
}

func TestCheckList(t *testing.T) {
	mcctl(t.Context(), "check", "--list").wants(t, exitDone, "synchronous-commit")
	mcctl(t.Context(), "check", "--list", "-o", "markdown").wants(t, exitDone, "| `fsync` | error |")
	var all []check.Listed
	if err := json.Unmarshal([]byte(mcctl(t.Context(), "check", "--list", "-o", "json").stdout), &all); err != nil || len(all) != len(check.Table()) {
		t.Errorf("%d rows, %v", len(all), err)
	}
	mcctl(t.Context(), "check", "-o", "markdown", "-M", newMcdir(t)).wants(t, exitUsage, "markdown is for --list")
}

func TestSwitchDryRun(t *testing.T) {
	s := newSupervisor(t, paired())
	p := check.Preview{
		From: "server1", To: "server2", GapMS: 321, GapBasis: "measured",
		Checks:   []check.Hurdle{{ID: "record", Value: "paired", Threshold: "paired", State: check.Fine}},
		InTheWay: &postgres.InTheWay{Clients: 2, Open: 1, Prepared: []postgres.Prepared{{GID: "p", Age: 3, Owner: "o", Database: "d"}}},
	}
	s.on(wire.KindPreview, func(json.RawMessage) (any, error) { return p, nil })
	same(t, mcctl(t.Context(), "switch", "--dry-run", "-M", s.mcdir).stdout, `
CHECK   STATE  VALUE   WANTED
record  ok     paired  paired

cut off would be 2 sessions, with 1 open transactions

PREPARED  AGE  OWNER  DATABASE
p         3 s  o      d

a switch from server1 to server2 would be made; clients could not write for about 321 ms (measured)
`)
	p.Checks[0] = check.Hurdle{ID: "record", Value: "alone", Threshold: "paired", State: check.Blocker, Text: "the record is alone"}
	mcctl(t.Context(), "switch", "--dry-run", "-M", s.mcdir).wants(t, exitRefused, "blocker: the record is alone", "would be refused now")
	mcctl(t.Context(), "switch", "--dry-run", "-o", "json", "-M", s.mcdir).wants(t, exitRefused, `"possible": false`)
	if n := s.count(wire.KindSwitch); n != 0 {
		t.Errorf("a dry run asked for %d switches", n)
	}
}

func TestBlockingTree(t *testing.T) {
	blocked := func(pid int, by ...int) postgres.Blocked {
		return postgres.Blocked{Activity: postgres.Activity{PID: pid, Query: "q"}, By: by}
	}
	got := strings.Join(blockingTree([]postgres.Blocked{blocked(11, 10), blocked(12, 11, 10), blocked(21, 0)}), "\n")
	same(t, got, `
a prepared transaction holds up
  21 waits since -: q
10 holds up
  11 waits since -: q
  12 waits since -, also for 11: q`)
	got = strings.Join(blockingTree([]postgres.Blocked{blocked(3, 2), blocked(2, 1), blocked(5, 4), blocked(4, 5)}), "\n")
	same(t, got, `
1 holds up
  2 waits since -: q
    3 waits since -: q
5 holds up
  4 waits since -: q`)
	if lines := blockingTree([]postgres.Blocked{blocked(1, 2), blocked(2, 1)}); len(lines) != 2 {
		t.Errorf("a deadlock: %q", lines)
	}
	var queue []postgres.Blocked
	for n := 1; n <= 26; n++ {
		ahead := []int{100}
		for _, b := range queue {
			ahead = append(ahead, b.PID)
		}
		queue = append(queue, blocked(n, ahead...))
	}
	lines := blockingTree(queue)
	if len(lines) != 27 || lines[26] != "  26 waits since -, also for 1, 2, 3, others: q" {
		t.Errorf("a queue of 26 is %d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestStatusReplication(t *testing.T) {
	lag, ago, since, left := 0.012, 7.0, 65.0, int64(1<<20)
	seen := func(p postgres.Progress) json.RawMessage {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	st := paired()
	st.Replication = []wire.Replication{
		{Server: "server1", Seen: seen(postgres.Progress{
			Insert: 0x3000860, Senders: []postgres.Outgoing{{
				Name: "server2", State: "streaming", SyncState: "sync", Sent: 0x3000860, Write: 0x3000850, Flush: 0x3000840, Replay: 0x3000060,
				WriteBytes: 16, FlushBytes: 32, ReplayBytes: 2048, ReplayLag: &lag,
			}, {Name: "pg_basebackup", State: "backup", SyncState: "async"}},
			Slots:    []postgres.SlotUse{{Name: "mcctl_server2", Active: true, Status: "reserved", Retained: 96, Left: &left}},
			Archiver: postgres.Archiver{On: true, Archived: 4, Failed: 2, Failing: true, LastWAL: "W", FailureAge: &ago, SuccessAge: &since, Ready: 3},
		})},
		{Server: "server2", Error: "not reached"},
	}
	text := mcctl(t.Context(), "status", "-M", newSupervisor(t, st).mcdir)
	text.wants(t, exitDone, `
REPLICATION
server1  at 0/3000860
         to server2: streaming, sync; sent 0/3000860, write 0/3000850, flush 0/3000840, replay 0/3000060
           lag sent 0 B, write 16 B, flush 32 B, replay 2.0 KB (12 ms)
         to pg_basebackup: backup, async
         slot mcctl_server2: in use, reserved, keeps 96 B, 1.0 MB until it loses log
         archiver: 4 archived, 3 wait, 2 failures; newest success 65 s ago; FAILING at W, 7 s ago
server2  does not tell: not reached
`)
	st.Replication = []wire.Replication{{Server: "server2", Seen: seen(postgres.Progress{
		InRecovery: true, Flushed: 0x3000060, Replayed: 0x3000000, ReplayAge: &since, ReplayPaused: true, Conflicts: &postgres.Conflicts{Lock: 2},
		Receiver: &postgres.Incoming{Status: "streaming", Told: 0x3000060},
	})}}
	mcctl(t.Context(), "status", "-M", newSupervisor(t, st).mcdir).wants(t, exitDone,
		"server2  streaming; primary's end 0/3000060; flushed 0/3000060, replayed 0/3000000 (96 B to replay)\n         newest replayed commit 65 s old; REPLAY PAUSED; 2 queries cancelled by replay\n")
	st.Replication = []wire.Replication{
		{Server: "server1", Seen: seen(postgres.Progress{Insert: 0x3000060, Archiver: postgres.Archiver{On: true, Archived: 4, SuccessAge: &since}})},
		{Server: "server2", Seen: seen(postgres.Progress{InRecovery: true, Flushed: 0x3000060, Replayed: 0x3000060})}, // nothing was replayed yet
	}
	mcctl(t.Context(), "status", "-M", newSupervisor(t, st).mcdir).wants(t, exitDone, `
REPLICATION
server1  at 0/3000060
         archiver: 4 archived, 0 wait, 0 failures; newest success 65 s ago
server2  receives nothing; flushed 0/3000060, replayed 0/3000060 (0 B to replay)
`)
}
