package act

import (
	"strings"
	"testing"

	"mcctl/pkg/wire"
)

// What is asked for is enough, even where a single byte is missing.
func TestWhatIsMissingIsToldInFull(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		needs, free int64
		says        string // empty: there is room
	}{
		{100 * mb, 100 * mb, ""},
		{100 * mb, 100*mb + 1, ""},
		{0, 0, ""},
		{100*mb + 1, 100 * mb, "has 100 MB free, and the copy needs 101 MB with the log that is written meanwhile, which is 1 MB more: make room"},
		{100 * mb, 100*mb - 1, "has 99 MB free, and the copy needs 100 MB with the log that is written meanwhile, which is 1 MB more: "},
		{1, 0, "has 0 MB free, and the copy needs 1 MB with the log that is written meanwhile, which is 1 MB more: "},
		{3*mb - 1, 1*mb + 1, "has 1 MB free, and the copy needs 3 MB with the log that is written meanwhile, which is 2 MB more: "},
	} {
		rooms := []wire.Room{{Path: "/ample", Needs: mb, Free: 2 * mb}, {Path: "/data", Needs: c.needs, Free: c.free}}
		for _, inPlace := range []bool{false, true} {
			err := tooLittle(rooms, inPlace)
			if c.says == "" {
				ok(t, err)
				continue
			}
			fails(t, err, "the file system of /data "+c.says)
			if hinted := strings.HasSuffix(err.Error(), ": make room, or give up the old data first with --in-place"); hinted == inPlace {
				t.Errorf("in place %v: %v", inPlace, err)
			}
		}
	}
}

func TestWhatThreatensTheLogThatThePrimaryKeepsIsToldOf(t *testing.T) {
	const mb = 1 << 20
	wal := wire.ShortDisk{Disk: "/wal: 1 % (9.0 MB) free", Level: "critical", Log: true}
	data := wire.ShortDisk{Disk: "/data: 4 % (2.0 GB) free", Level: "low"}
	const (
		walSays  = "room is critical on server2: /wal: 1 % (9.0 MB) free; server2 keeps its log there until the copy streams: free or add some there"
		dataSays = "room is low on server2: /data: 4 % (2.0 GB) free; nobody can take over from server2 until the copy streams: free or add some there"
	)
	for name, c := range map[string]struct {
		keeps *wire.LogKeeping
		says  []string // how each warning begins
	}{
		"an older supervisor tells nothing": {nil, nil},
		"no limit, and room":                {&wire.LogKeeping{SlotLimit: -1}, nil},
		"as much as max_wal_size":           {&wire.LogKeeping{SlotLimit: 64 * mb}, nil},
		"less than max_wal_size":            {&wire.LogKeeping{SlotLimit: 63 * mb}, []string{"max_slot_wal_keep_size on server2 is 63.0 MB, less than max_wal_size (64.0 MB): the slot may be invalidated before the copy streams"}},
		"nothing is kept for slots":         {&wire.LogKeeping{}, []string{"max_slot_wal_keep_size on server2 is 0 B, less than"}},
		"slots end when they are idle":      {&wire.LogKeeping{SlotLimit: -1, SlotIdle: 5400}, []string{"idle_replication_slot_timeout on server2 is 1h30m0s, and the slot is idle until the copy streams"}},
		"the log's disk":                    {&wire.LogKeeping{SlotLimit: -1, Short: []wire.ShortDisk{wal}}, []string{walSays}},
		"all of it":                         {&wire.LogKeeping{SlotLimit: mb, Short: []wire.ShortDisk{data, wal}}, []string{dataSays, walSays, "max_slot_wal_keep_size on server2 is 1.0 MB"}},
	} {
		got := keepingWarnings("server2", wire.HoldingsAnswer{WAL: 64 * mb, Keeps: c.keeps})
		if len(got) != len(c.says) {
			t.Errorf("%s: %q, want %q", name, got, c.says)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], c.says[i]) {
				t.Errorf("%s: %q, want %q", name, got[i], c.says[i])
			}
		}
	}
}
