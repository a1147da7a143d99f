package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/act"
	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/check"
	"mcctl/pkg/config"
	"mcctl/pkg/disk"
	"mcctl/pkg/observe"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
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

func TestASwitchToAStandbyWithoutRoomIsRefused(t *testing.T) {
	for _, c := range []struct {
		there       roomThere
		state, says string
	}{
		{roomThere{}, check.Fine, ""},
		{roomThere{noRoom: "/log: 0 % (0 B) free"}, check.Blocker, "server2 has no room to take over: /log: 0 % (0 B) free"},
		{roomThere{err: wire.ErrNoAnswer}, check.NotSeen, "room on the disks of server2 could not be looked at"},
	} {
		a := someAgent(t)
		a.link = c.there
		all := a.foresee(t.Context(), false).Checks
		i := slices.IndexFunc(all, func(h check.Hurdle) bool { return h.ID == "standby-room" })
		if h := all[i]; h.State != c.state || !strings.HasPrefix(h.Text, c.says) {
			t.Errorf("%+v: %+v", c.there, h)
		}
	}
}

// roomThere is a link to a standby that answers whether there is room, and nothing else.
type roomThere struct {
	Link
	noRoom string
	err    error
}

func (r roomThere) Call(_ context.Context, kind string, request, answer any) error {
	if q, holds := request.(wire.HoldsRequest); !holds || !q.Room {
		return errors.New(kind + " is not asked here")
	}
	answer.(*wire.HoldsAnswer).NoRoom = r.noRoom
	return r.err
}

// A standby answers by a look of this moment. One at whose disks nobody can look does not know.
func TestAStandbyLooksForRoomWhenAsked(t *testing.T) {
	a := someAgent(t)
	a.warm = newWarm(a.clock.Mutex(), func(context.Context) (act.Session, error) { return holder{}, nil })
	data := disk.Space{Path: "/data", Log: true, Room: disk.Room{Total: 1 << 40, Free: 1 << 39}}
	room, failed := observe.Room{Spaces: []disk.Space{data}, Segment: 16 << 20}, error(nil)
	looks := 0
	a.world.Room = func(context.Context) (observe.Room, error) { looks++; return room, failed }
	ask := func(q wire.HoldsRequest) (wire.HoldsAnswer, error) {
		got, err := a.Handle(t.Context(), otherServer, wire.KindHolds, body(q))
		answer, _ := got.(wire.HoldsAnswer)
		return answer, err
	}
	if got, err := ask(wire.HoldsRequest{LSN: 0x99}); err != nil || !got.Holds || looks != 0 {
		t.Errorf("asked what it holds: %+v, %v, looked %d times", got, err, looks)
	}
	if got, err := ask(wire.HoldsRequest{Room: true}); err != nil || got.NoRoom != "" || looks != 1 {
		t.Errorf("there is room: %+v, %v, looked %d times", got, err, looks)
	}
	room.Spaces[0].Free = 33<<20 - 1
	if got, err := ask(wire.HoldsRequest{Room: true}); err != nil || !strings.HasPrefix(got.NoRoom, "/data: 0 %") {
		t.Errorf("there is none: %+v, %v", got, err)
	}
	failed = errors.New("perhaps a disk hangs")
	if got, err := ask(wire.HoldsRequest{Room: true}); err == nil || !strings.Contains(err.Error(), "perhaps a disk hangs") {
		t.Errorf("nobody can look: %+v, %v", got, err)
	}
}

// holder is a session on a standby that holds everything up to 0/100.
type holder struct{ act.Session }

func (holder) Applied(context.Context) (received, replayed pair.LSN, err error) {
	return 0x100, 0x100, nil
}
func (holder) Alive() bool { return true }
func (holder) Close()      {}

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
