package agent

import (
	"slices"
	"testing"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/disk"
	"mcctl/pkg/wire"
)

// What a standby that plans a copy is told of this server's disks.
func TestTheOtherServerIsToldOfTheDisksThatAreShort(t *testing.T) {
	a := someAgent(t)
	of := func(path string, percent uint64) board.Place {
		return board.Place{Path: path, Room: disk.Room{Total: 100 << 40, Free: percent << 40}}
	}
	wal, same, mcdir := of("/wal", 0), of("/tblspc", 0), of("/mcdir", 0)
	wal.Log, same.Same, mcdir.Measured = true, "/wal", true
	data := of("/data", 50)
	if got := a.shortDisks(board.Sight{Places: []board.Place{data, {Path: "/unknown"}}}); got != nil {
		t.Errorf("with room: %+v", got)
	}
	data.Free = 6 << 30
	data.Total = 100 << 30
	got := a.shortDisks(board.Sight{Places: []board.Place{data, wal, same, mcdir}})
	want := []wire.ShortDisk{{Disk: "/data: 6 % (6.0 GB) free", Level: "low"}, {Disk: "/wal: 0 % (0 B) free", Level: "critical", Log: true}}
	if !slices.Equal(got, want) {
		t.Errorf("short of room are %+v, want %+v", got, want)
	}
}

// Every detach is either a loss that counts, or somebody wanted it.
func TestALostStandbyIsCountedByWhateverRuleItIsDetached(t *testing.T) {
	wanted := []int{203, 204, 250, 251}
	for _, r := range decide.Rules {
		if r.Do == decide.Detach && byFault(r.ID) == slices.Contains(wanted, r.ID) {
			t.Errorf("rule %d: counts as a fault: %v", r.ID, byFault(r.ID))
		}
		if r.Do != decide.Detach && byFault(r.ID) {
			t.Errorf("rule %d detaches nobody", r.ID)
		}
	}
}
