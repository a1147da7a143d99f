package check

import (
	"fmt"
	"strings"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// spaceChecks look at what fills up.
func spaceChecks() []Check {
	return []Check{
		{
			ID: "space", What: "the disks of data, log, tablespaces and management directory have more free than policy.disk_low", Severity: Warning,
			Why:   "a full disk stops PostgreSQL, and keeps it from recovering",
			Mend:  "df -h {path}; du -sh {data}/* | sort -h | tail",
			Needs: needs(Files), Judge: shortOfSpace,
		},
		{
			ID: "space-for-rebuild", What: "beside data and tablespaces there is room for a copy of the other server's", Severity: Warning,
			Why:    "a rebuild keeps the old data until the new copy is proven",
			Mend:   "free {missing} on the file system of {path}; df -h {path}",
			Blocks: blocks(Rebuild), Needs: needs(Files, PostgreSQL), Both: true, Judge: roomForRebuild,
		},
		{
			ID: "copy-beside", What: "a copy can be made beside the data, its tablespaces and pg_wal, and take their places by renames", Severity: Warning,
			Why:    "else the old data must be given up before there is a copy, which the supervisor does not do by itself: an old primary that cannot be rewound stays away until mcctl rebuild --in-place",
			Mend:   "move the directory below one that {owner} owns, on the same file system, and change what names it: data_directory in {mcdir}/server.toml, or the link",
			Blocks: blocks(Rebuild), Needs: needs(Files), Judge: notBeside,
		},
		{
			ID: "slot-retention", What: "the log that slots keep is less than half of what is free", Severity: Warning,
			Why:   "a slot that nobody reads keeps log until the disk is full; max_slot_wal_keep_size bounds that",
			Mend:  "{psql} -c \"select pg_drop_replication_slot('{slot}')\" if nobody needs it; and set max_slot_wal_keep_size",
			Needs: needs(Files, PostgreSQL), Judge: slotRetention,
		},
		{
			ID: "slot-lost", What: "the standby's slot has lost no log", Severity: Error,
			Why:    "the standby cannot go on streaming from here once it is cut off: it must be rebuilt",
			Mend:   "let the standby catch up, or rebuild it; then: {psql} -c \"show max_slot_wal_keep_size\"",
			Blocks: blocks(Rewind), Needs: needs(PostgreSQL), Judge: slotLost,
		},
		{
			ID: "slot-idle-timeout", What: "idle_replication_slot_timeout is 0 (PostgreSQL 18)", Severity: Warning,
			Why:   "the first checkpoint after that time invalidates the slot of a standby that is away, as in maintenance or in a long copy: log that it needs is lost",
			Mend:  "set idle_replication_slot_timeout = 0 in {conf}; then: {psql} -c 'select pg_reload_conf()'",
			Needs: needs(PostgreSQL), Judge: wants("idle_replication_slot_timeout", "0"),
		},
	}
}

func shortOfSpace(v View) (found []Trouble) {
	for _, s := range v.Me.Spaces {
		if v.Me.Config.Policy().DiskLow.Over(s.Room) {
			found = append(found, Trouble{fmt.Sprintf("%s: %s of %s are free at %s", s.Name, pair.Size(s.Free), pair.Size(s.Total), s.Path), fill("path", s.Path)})
		}
	}
	return found
}

// roomForRebuild counts by file system: a tablespace that this server has elsewhere is
// copied beside that.
func roomForRebuild(v View) (found []Trouble) {
	needs := map[uint64]uint64{}
	inside := v.Other.Postgres.DataBytes
	for _, s := range v.Me.Spaces {
		if n := v.Other.Postgres.Outside[strings.TrimPrefix(s.Name, tablespacePrefix)]; n > 0 {
			needs[s.Device] += uint64(n)
			inside -= n
		}
	}
	for _, s := range v.Me.Spaces {
		if s.Name == "data directory" {
			needs[s.Device] += uint64(max(inside, 0))
		}
	}
	for _, s := range v.Me.Spaces {
		if need := needs[s.Device]; s.Free < need {
			found = append(found, Trouble{
				fmt.Sprintf("%s are free beside %s, a copy of %s needs %s there", pair.Size(s.Free), s.Path, v.Other.Server, pair.Size(need)),
				fill("missing", pair.Size(need-s.Free), "path", s.Path),
			})
			delete(needs, s.Device) // told once
		}
	}
	return found
}

func notBeside(v View) []Trouble {
	if v.Me.NotBeside == "" {
		return nil
	}
	_, owner := v.Me.owner()
	return one(v.Me.NotBeside, "owner", owner)
}

func slotRetention(v View) (found []Trouble) {
	var free uint64
	for _, s := range v.Me.Spaces {
		if s.Name == "pg_wal" {
			free = s.Free
		}
	}
	for _, slot := range v.Me.Postgres.Slots {
		bounded := slot.Left != nil && uint64(max(*slot.Left, 0)) < free
		if kept := uint64(max(slot.Retained, 0)); !bounded && kept > 2*segment && kept > free/2 {
			found = append(found, Trouble{fmt.Sprintf("slot %s keeps %s of log, %s are free", slot.Name, pair.Size(kept), pair.Size(free)), fill("slot", slot.Name)})
		}
	}
	return found
}

// segment is what a slot keeps anyway (wal_segment_size by default, in bytes).
const segment = 16 << 20

func slotLost(v View) (found []Trouble) {
	for _, slot := range v.Me.Postgres.Slots {
		if ours(slot, v) && (slot.Status == "lost" || slot.Status == "unreserved") {
			found = append(found, Trouble{fmt.Sprintf("slot %s is %s", slot.Name, slot.Status), fill("slot", slot.Name)})
		}
	}
	return found
}

func ours(slot postgres.SlotUse, v View) bool { return slot.Name == settings.Slot(v.Me.Config.Other()) }
