package agent

import (
	"strings"
	"testing"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/check"
	"mcctl/pkg/config"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// A server whose disk fails cannot be stopped in good order, and with failover off nobody
// hands over unasked.
func TestASwitchFromAFailingDiskIsRefused(t *testing.T) {
	a := someAgent(t)
	for _, h := range a.conditions(board.Sight{DiskFailed: true, DiskError: "/data: input/output error"}) {
		if h.ID == "disk" && h.State == check.Blocker && strings.Contains(h.Text, "input/output error") && strings.Contains(h.Text, "enable-failover") {
			return
		}
	}
	t.Error("the disk is not in the way")
}

// hearingKeeper is reached, and holds and hears what it is told to.
type hearingKeeper struct {
	arbiter.Keeper
	holds   record.Record
	hears   bool
	problem string
}

func (k hearingKeeper) Seen() (record.Record, time.Duration, bool) { return k.holds, 0, true }
func (k hearingKeeper) OtherHeard() bool                           { return k.hears }
func (k hearingKeeper) Problem() string                            { return k.problem }

// An arbiter that is reached, but without the record, would refuse the hand-over when
// PostgreSQL is closed already. One that does not hear the standby would refuse a take-over,
// and so would one that has just found its record again, before this server takes that in.
// One whose disk takes nothing would refuse both.
func TestAnArbiterWithoutTheRecordIsInTheWayOfASwitch(t *testing.T) {
	a := someAgent(t)
	a.config.Pair.Arbiter.Kind = config.Witness
	s := board.Sight{Known: true, KeeperReached: true, Record: rec(1, 1, "server1", pair.Paired)}
	found := rec(1, 1<<20+1, "server1", pair.Alone)
	for _, c := range []struct {
		keeper hearingKeeper
		state  string
		vain   string
	}{
		{hearingKeeper{hears: true}, check.Blocker, withoutRecord},
		{hearingKeeper{holds: rec(1, 1, "server1", pair.Paired)}, check.Fine, "it does not hear server2"},
		{hearingKeeper{holds: rec(1, 1, "server1", pair.Paired), hears: true}, check.Fine, ""},
		{hearingKeeper{holds: rec(1, 1, "server1", pair.Paired), hears: true, problem: "its disk is full"}, check.Blocker, "its disk is full"},
		{hearingKeeper{holds: found, hears: true}, check.Fine, "it has a newer record, " + found.String()},
	} {
		a.keeper = c.keeper
		for _, h := range a.conditions(s) {
			if h.ID == "arbiter" && (h.State != c.state || c.state == check.Blocker && !strings.Contains(h.Text, c.vain)) {
				t.Errorf("%+v: %+v", c.keeper, h)
			}
		}
		if st := a.keeperStatus(s); !st.Reached || st.Error != c.vain {
			t.Errorf("%+v: %+v", c.keeper, st)
		}
		a.board.Set(func(now *board.Sight) { *now = s })
		if known := a.known(); known.ArbiterError != c.keeper.problem {
			t.Errorf("%+v: a check is told %q", c.keeper, known.ArbiterError)
		}
	}
}
