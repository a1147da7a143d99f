package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/test/fault"
)

// spaced is a running primary with a tablespace elsewhere and one in place, and a
// stopped server whose pg_wal lies elsewhere and which has had the first tablespace
// in a directory of its own.
func spaced(t *testing.T) (primary, in *Instance, space, wal string) {
	t.Helper()
	primary = newServer(t)
	start(t, primary)
	theirs := filepath.Join(primary.Socket, "space=1")
	ok(t, os.Mkdir(theirs, 0o700))
	execute(t, primary, "create tablespace space location '"+theirs+"'")
	conn := client(t, primary)
	for _, sql := range []string{
		"set allow_in_place_tablespaces = on", "create tablespace near location ''",
		"create table a(n int) tablespace space", "create table b(n int) tablespace near", "insert into a values (1)", "insert into b values (2)",
	} {
		_, err := conn.Exec(within(t), sql)
		ok(t, err)
	}
	in = newServer(t)
	// Without it a standby ends recovery with "unexpected directory entry … found in
	// pg_tblspc/" (PostgreSQL 15, CheckTablespaceDirectory).
	configure(t, in, "allow_in_place_tablespaces = on")
	space = filepath.Join(in.Socket, "space")
	ok(t, os.Mkdir(space, 0o700))
	write(t, filepath.Join(space, "litter"), "x")
	oid := query(t, primary, "select oid from pg_tablespace where spcname = 'space'")
	ok(t, os.Symlink(space, filepath.Join(in.Data, "pg_tblspc", oid)))
	return primary, in, space, moveWAL(t, in)
}

// follows starts the copy as a standby and reads from both tablespaces.
func follows(t *testing.T, in, primary *Instance, space, wal string) {
	t.Helper()
	configure(t, in, "primary_conninfo = '"+sourceOf(primary, "s").Conninfo()+"'")
	ok(t, in.MarkStandby())
	start(t, in)
	eventually(t, "it follows", func() bool {
		return query(t, in, "select coalesce(sum(n), 0) from (select n from a union all select n from b) x") == "3"
	})
	if got := query(t, in, "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'space'"); got != space {
		t.Errorf("the tablespace is at %s, want %s", got, space)
	}
	layout, err := in.Layout()
	ok(t, err)
	if layout.WAL != wal || len(layout.Tablespaces) != 1 || exists(filepath.Join(space, "litter")) {
		t.Errorf("layout %+v", layout)
	}
	pid, _ := in.Postmaster()
	ok(t, in.Stop(within(t), pid, Fast))
}

func TestACopyKeepsThisServersTablespacesAndWALDirectory(t *testing.T) {
	primary, in, space, wal := spaced(t)
	source := sourceOf(primary, "b")
	ok(t, os.Chmod(in.Data, 0o750))
	ok(t, in.BaseBackup(within(t), source, BackupOptions{}))
	if !exists(filepath.Join(space, "litter")) || !exists(space+".new") || !exists(wal+".new") {
		t.Error("the old tablespace was touched before the swap, or there is no new one")
	}
	ok(t, in.BaseBackup(within(t), source, BackupOptions{})) // again: the first copy is thrown away
	ok(t, in.Swap(false))
	for _, dir := range []string{in.Data, space, wal} {
		if !exists(dir+".old") || exists(dir+".new") {
			t.Errorf("%s was not put aside", dir)
		}
	}
	old, err := layoutOf(in.Data + ".old")
	ok(t, err)
	if old.WAL != wal+".old" || !strings.Contains(strings.Join(dirsOf(old), " "), space+".old") {
		t.Errorf("the old server is not whole: %+v", old)
	}
	if info, err := os.Stat(in.Data); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	ok(t, in.DropOld())
	if exists(space+".old") || exists(wal+".old") || in.KeptOld() != "" {
		t.Error("something of the old server is left")
	}
	follows(t, in, primary, space, wal)
}

func dirsOf(l Layout) (dirs []string) {
	for _, p := range l.places() {
		dirs = append(dirs, p.dir)
	}
	return dirs
}

func TestACopyInPlaceEmptiesButKeepsTheDirectories(t *testing.T) {
	primary, in, space, wal := spaced(t)
	keep := filepath.Join(in.Socket, "keep")
	var inodes []os.FileInfo
	for _, dir := range []string{in.Data, space, wal} {
		ok(t, os.MkdirAll(filepath.Join(dir, "lost+found"), 0o700)) // as at the root of a file system
		info, err := os.Stat(dir)
		ok(t, err)
		inodes = append(inodes, info)
	}
	ok(t, in.BaseBackupInPlace(within(t), sourceOf(primary, "b"), keep, BackupOptions{}))
	for i, dir := range []string{in.Data, space, wal} {
		if now, err := os.Stat(dir); err != nil || !os.SameFile(now, inodes[i]) || !exists(filepath.Join(dir, "lost+found")) || exists(inside(dir)) {
			t.Errorf("%s is another directory or not clean (%v)", dir, err)
		}
	}
	follows(t, in, primary, space, wal)
}

// What the operator does in a rolling update: the directories are emptied, not
// deleted, and with them go the links and the configuration.
func TestAnEmptiedServerGetsItsFilesAndLinksBack(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		primary, in, space, wal := spaced(t)
		saved, own := filepath.Join(in.Socket, "own"), read(t, filepath.Join(in.Data, "postgresql.conf"))
		saveOwn(t, in, saved)
		for _, dir := range []string{in.Data, space, wal} {
			ok(t, emptyDir(dir))
		}
		write(t, filepath.Join(in.Data, ProbeFile), "x")
		saveOwn(t, in, saved) // of an empty directory nothing is saved
		if !in.Empty() {
			t.Error("an emptied data directory is not empty")
		}
		known, dir, err := SavedOwn(saved)
		ok(t, err)
		opt := BackupOptions{Known: known, Own: dir}
		if inPlace {
			ok(t, in.BaseBackupInPlace(within(t), sourceOf(primary, "b"), filepath.Join(in.Socket, "keep"), opt))
		} else {
			ok(t, in.BaseBackup(within(t), sourceOf(primary, "b"), opt))
			ok(t, in.Swap(false))
			ok(t, in.DropOld())
		}
		if read(t, filepath.Join(in.Data, "postgresql.conf")) != own {
			t.Error("postgresql.conf is not our own")
		}
		follows(t, in, primary, space, wal)
	}
}

func TestATablespaceDirectoryOfSomebodyElseIsRefused(t *testing.T) {
	primary, in, space, _ := spaced(t)
	oid := query(t, primary, "select oid from pg_tablespace where spcname = 'space'")
	ok(t, os.Remove(filepath.Join(in.Data, "pg_tblspc", oid)))
	err := in.BaseBackup(within(t), sourceOf(primary, "b"), BackupOptions{})
	if err == nil || !strings.Contains(err.Error(), "is new to this server, and its directory") {
		t.Errorf("the primary's own directory as a goal: %v", err)
	}
	ok(t, os.Symlink(space, filepath.Join(in.Data, "pg_tblspc", oid)))
	ok(t, os.Rename(filepath.Join(in.Data, "pg_xact"), filepath.Join(in.Socket, "x")))
	ok(t, os.Symlink(filepath.Join(in.Socket, "x"), filepath.Join(in.Data, "pg_xact")))
	if err := in.BaseBackup(within(t), sourceOf(primary, "b"), BackupOptions{}); err == nil || !strings.Contains(err.Error(), "pg_xact in the data directory is a symbolic link") {
		t.Errorf("a link that cannot be kept: %v", err)
	}
}

func TestHoldingsAndRooms(t *testing.T) {
	primary, in, _, _ := spaced(t)
	asked := connect(t, primary)
	has, err := asked.Holdings(within(t))
	ok(t, err)
	if has.Bytes < 10<<20 || len(has.Tablespaces) != 1 || has.Tablespaces[0].Bytes == 0 || has.WAL == 0 || has.OldestWAL == 0 {
		t.Errorf("holdings: %+v", has)
	}
	if has.SlotLimit != -1 || has.SlotIdle != 0 {
		t.Errorf("slots are limited to %d bytes of log and %d s, and nothing is set", has.SlotLimit, has.SlotIdle)
	}
	if query(t, primary, "select count(*) from pg_settings where name = 'idle_replication_slot_timeout'") == "1" { // 18
		set(t, primary, "idle_replication_slot_timeout = 90min")
		eventually(t, "idle_replication_slot_timeout is told", func() bool {
			now, err := asked.Holdings(within(t))
			ok(t, err)
			return now.SlotIdle == 5400
		})
	}
	for setting, want := range map[string]int64{"0": 0, "3MB": 3 << 20, "-1": -1} {
		set(t, primary, "max_slot_wal_keep_size = "+setting)
		eventually(t, "max_slot_wal_keep_size = "+setting+" is told", func() bool {
			now, err := asked.Holdings(within(t))
			ok(t, err)
			return now.SlotLimit == want
		})
	}
	rooms, err := in.Rooms(within(t), sourceOf(primary, "b"), Layout{}, has, false)
	ok(t, err)
	if len(rooms) != 1 || rooms[0].Needs < has.Bytes+has.WAL || rooms[0].Free < 1<<20 {
		t.Errorf("rooms: %+v", rooms)
	}
	more, err := in.Rooms(within(t), sourceOf(primary, "b"), Layout{}, has, true)
	ok(t, err)
	if more[0].Free < rooms[0].Free+10<<20-1<<20 {
		t.Errorf("in place the old data counts: %+v, beside %+v", more, rooms)
	}
	if err := beside("/proc"); err == nil {
		t.Error("a file system of its own has a place beside it")
	}
}

func TestACopyByCommandIsVerified(t *testing.T) {
	primary, in, space, wal := spaced(t)
	control, err := primary.Control()
	ok(t, err)
	request := filepath.Join(in.Socket, "request")
	// What a site's tool does: it restores to the directories that it is given.
	script := func(body string) []string {
		path := filepath.Join(in.Socket, "copy")
		ok(t, os.WriteFile(path, []byte("#!/bin/sh\nset -e\ncat > "+request+"\n"+body), 0o700))
		return []string{path, "--repo=1"}
	}
	opt := BackupOptions{By: &CopyCommand{Program: script("exit 7"), SystemID: control.SystemID, Lock: filepath.Join(in.Socket, "lock")}}
	if err := in.BaseBackup(within(t), sourceOf(primary, "b"), opt); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("a command that fails: %v", err)
	}
	opt.By.Program = script("echo done")
	if err := in.BaseBackup(within(t), sourceOf(primary, "b"), opt); !errors.Is(err, ErrWrongCopy) {
		t.Errorf("a command that leaves nothing: %v", err)
	}
	copied := bin() + "/pg_basebackup -D \"$2\" -d '" + sourceOf(primary, "c").Conninfo() + "' --no-password -c fast -T " +
		strings.ReplaceAll(filepath.Join(primary.Socket, "space=1"), "=", `\\=`) + "=" + space + ".new\n"
	// Some tools restore the map, too: by it PostgreSQL would make the primary's directory its own.
	// And some ask for a recovery of their own kind.
	copied += "for link in \"$2\"/pg_tblspc/*; do echo \"${link##*/} " + filepath.Join(primary.Socket, "space=1") + "\"; done > \"$2\"/tablespace_map; touch \"$2\"/recovery.signal\n"
	opt.By.Program = script(copied)
	opt.By.SystemID++
	if err := in.BaseBackup(within(t), sourceOf(primary, "b"), opt); !errors.Is(err, ErrWrongCopy) || !strings.Contains(err.Error(), "system identifier") {
		t.Errorf("a copy of another cluster: %v", err)
	}
	opt.By.SystemID--
	synced := recordSyncs(t, in)
	ok(t, in.BaseBackup(within(t), sourceOf(primary, "b"), opt))
	if got := read(t, synced); got != "--sync-only -D "+in.Data+".part\n" {
		t.Errorf("synced: %q", got)
	}
	if exists(filepath.Join(in.Data+".new", "recovery.signal")) {
		t.Error("it would end its time as a standby, and leave that behind for its time as a primary")
	}
	ok(t, in.Swap(false))
	ok(t, in.DropOld())
	if text := read(t, request); !strings.Contains(text, `"directory":"`+in.Data+`.part"`) || !strings.Contains(text, space+".new") {
		t.Errorf("the command was told %s", text)
	}
	follows(t, in, primary, space, wal)
}

// recordSyncs puts a program before initdb that notes its arguments.
func recordSyncs(t *testing.T, in *Instance) (notes string) {
	t.Helper()
	dir := newDir(t)
	notes = filepath.Join(dir, "synced")
	programs, err := os.ReadDir(in.Bin)
	ok(t, err)
	for _, p := range programs {
		if p.Name() != "initdb" {
			ok(t, os.Symlink(filepath.Join(in.Bin, p.Name()), filepath.Join(dir, p.Name())))
		}
	}
	text := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%s\nexec %s/initdb \"$@\"\n", notes, in.Bin)
	ok(t, os.WriteFile(filepath.Join(dir, "initdb"), []byte(text), 0o700))
	in.Bin = dir
	return notes
}

// onAnotherHost starts a server again so that what is mounted here from now on is not
// mounted there.
func onAnotherHost(t *testing.T, in *Instance) {
	t.Helper()
	pid, _ := in.Postmaster()
	ok(t, in.Stop(within(t), pid, Fast))
	there := filepath.Join(in.Socket, "bin")
	ok(t, os.Mkdir(there, 0o700))
	ok(t, os.WriteFile(filepath.Join(there, "postgres"), []byte("#!/bin/sh\nexec unshare -m "+in.program("postgres")+" \"$@\"\n"), 0o700))
	in.Bin = there
	start(t, in)
}

// A tablespace was made on the new primary before the old one came back, which has nothing
// of it, or not even a place where it may make one.
func TestRewindMakesThePlaceOfANewTablespaceOrIsRefused(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	old, leader := diverged(t)
	onAnotherHost(t, leader)
	disk := filepath.Join(leader.Socket, "disk")
	ok(t, os.MkdirAll(filepath.Join(disk, "space"), 0o700))
	execute(t, leader, "create tablespace space location '"+filepath.Join(disk, "space")+"'")
	execute(t, leader, "create table a(n int) tablespace space")
	execute(t, leader, "insert into a values (1)")
	ok(t, connect(t, leader).Checkpoint(within(t)))
	mount(t, disk)
	keep := filepath.Join(old.Socket, "keep")
	rewind := func() error { return old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: keep}) }
	refused := func(why string, words ...string) {
		t.Helper()
		err := rewind()
		if !errors.Is(err, ErrNoPlace) || errors.Is(err, ErrUnfinished) || exists(keep) {
			t.Errorf("%s: %v", why, err)
		}
		for _, word := range append(words, "tablespace space is new to this server", "pg_tblspc/") {
			if err != nil && !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v, without %q", why, err, word)
			}
		}
	}
	ok(t, os.Chmod(disk, 0o500))
	refused("it may not be made", "permission denied", "give it to this user")
	ok(t, os.Chmod(disk, 0o700))
	ok(t, os.Mkdir(filepath.Join(disk, "space"), 0o500))
	refused("it may not be written", "cannot be written", "give it to this user")
	ok(t, os.Chmod(filepath.Join(disk, "space"), 0o700))
	write(t, filepath.Join(disk, "space", "litter"), "")
	refused("it is somebody's", "is not empty")
	ok(t, os.RemoveAll(filepath.Join(disk, "space")))
	ok(t, rewind())
	configure(t, old, "primary_conninfo = '"+sourceOf(leader, "o").Conninfo()+"'")
	ok(t, old.MarkStandby())
	start(t, old)
	eventually(t, "it follows", func() bool { return query(t, old, "select sum(n) from a") == "1" })
}

// Where a tablespace is that the link of its number was made for before.
func TestRewindPutsANewTablespaceWhereALinkLeads(t *testing.T) {
	old, leader := diverged(t)
	theirs, space := filepath.Join(leader.Socket, "space"), filepath.Join(old.Socket, "space")
	for _, dir := range []string{theirs, space} {
		ok(t, os.Mkdir(dir, 0o700))
	}
	execute(t, leader, "create tablespace space location '"+theirs+"'")
	ok(t, connect(t, leader).Checkpoint(within(t)))
	rewind := func() error {
		return old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: filepath.Join(old.Socket, "keep")})
	}
	if err := rewind(); !errors.Is(err, ErrNoPlace) || errors.Is(err, ErrUnfinished) {
		t.Errorf("into the leader's own: %v", err)
	}
	ok(t, os.Symlink(space, filepath.Join(old.Data, "pg_tblspc", query(t, leader, "select oid from pg_tablespace where spcname = 'space'"))))
	ok(t, rewind())
	if entries, err := os.ReadDir(space); err != nil || len(entries) != 1 {
		t.Errorf("there is %v, %v", entries, err)
	}
}
