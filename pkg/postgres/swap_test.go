package postgres

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcctl/pkg/pair"
)

// aSwap is a data directory with a place for WAL and a tablespace elsewhere, and a
// copy of each that waits. Every directory says in "who" whether it is old or new.
func aSwap(t *testing.T) *Instance {
	t.Helper()
	in := &Instance{Data: filepath.Join(t.TempDir(), "d")}
	wal, space := filepath.Join(filepath.Dir(in.Data), "w"), filepath.Join(filepath.Dir(in.Data), "s")
	for ending, who := range map[string]string{"": "old", ".new": "new"} {
		for _, dir := range []string{in.Data, wal, space} {
			ok(t, os.MkdirAll(dir+ending, 0o700))
			write(t, filepath.Join(dir+ending, "who"), who)
		}
		ok(t, os.MkdirAll(filepath.Join(in.Data+ending, "pg_tblspc"), 0o700))
		ok(t, relink(in.Data+ending, Layout{WAL: wal, Tablespaces: map[string]string{"16400": space}}.places(), older))
	}
	layout, err := in.Layout()
	ok(t, err)
	ok(t, in.noteCopy(layout))
	return in
}

// steps are the changes that a swap makes, one by one, as the kernel sees them.
func steps(t *testing.T, in *Instance) []func() {
	t.Helper()
	rename := func(from, to string) func() { return func() { ok(t, os.Rename(from, to)) } }
	all := []func(){func() { ok(t, mark(in.Data, true)) }, rename(in.Data, in.Data+".old")}
	layout, err := in.Layout()
	ok(t, err)
	for _, p := range layout.places() {
		all = append(all, func() {
			ok(t, os.Remove(filepath.Join(in.Data+".old", p.link)))
			ok(t, os.Symlink(p.dir+".old", filepath.Join(in.Data+".old", p.link)))
		}, rename(p.dir, p.dir+".old"), rename(p.dir+".new", p.dir))
	}
	return append(all, func() { ok(t, in.forgetCopy()) }, rename(in.Data+".new", in.Data))
}

// A swap that is cut off after any step is finished by the next start, and before
// the second one it has not begun.
func TestASwapCutOffAfterAnyStepIsFinished(t *testing.T) {
	for n := range len(steps(t, aSwap(t))) + 1 {
		in := aSwap(t)
		for _, step := range steps(t, in)[:n] {
			step()
		}
		ok(t, in.RecoverSwap())
		want, other := "new", "old"
		if n < 2 {
			want, other = "old", "new"
		}
		if isLink(filepath.Join(in.Data, asideMark)) || in.OldIsWanted() == (n < 2) {
			t.Errorf("after %d steps the mark is not where it belongs", n)
		}
		layout, err := in.Layout()
		ok(t, err)
		aside, err := layoutOf(in.Data + "." + other)
		ok(t, err)
		if len(layout.places()) != 2 || len(aside.places()) != 2 {
			t.Fatalf("after %d steps: %+v, aside %+v", n, layout, aside)
		}
		for _, dir := range append(dirsOf(layout), in.Data) {
			if read(t, filepath.Join(dir, "who")) != want || read(t, filepath.Join(dir+"."+other, "who")) != other {
				t.Errorf("after %d steps %s is not %s", n, dir, want)
			}
		}
		ok(t, in.RecoverSwap())
		if n > 1 {
			ok(t, in.DropOld())
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(in.Data), "*.*")); err != nil || len(left) > 0 {
				t.Errorf("after %d steps there is left %v, %v", n, left, err)
			}
		}
	}
}

// A copy that is put in the place of nothing, and cut off after any directory, is put
// there by the next call.
func TestAdoptCutOffAfterAnyPlaceIsFinished(t *testing.T) {
	for n := range 3 {
		in := aSwap(t)
		dir := filepath.Dir(in.Data)
		for _, name := range []string{"d", "w", "s"} {
			ok(t, os.RemoveAll(filepath.Join(dir, name)))
			ok(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		}
		for _, name := range []string{"w", "s"}[:n] {
			ok(t, os.Remove(filepath.Join(dir, name)))
			ok(t, os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)))
		}
		ok(t, in.Adopt(func(string) error { return nil }))
		for _, name := range []string{"d", "w", "s"} {
			if exists(filepath.Join(dir, name+".new")) || read(t, filepath.Join(dir, name, "who")) != "new" {
				t.Errorf("after %d places %s is not in its place", n, name)
			}
		}
	}
}

// A place whose copy is gone, or lies where nobody looks for it, is not taken for one
// that was moved before.
func TestAPlaceThatIsEmptyWasNotMovedBefore(t *testing.T) {
	for _, begun := range []bool{false, true} {
		in := aSwap(t)
		space := filepath.Join(filepath.Dir(in.Data), "s")
		ok(t, os.RemoveAll(space))
		ok(t, os.Mkdir(space+".disk", 0o700))
		ok(t, os.Symlink(space+".disk", space))
		act := func() error { return in.Swap(false) }
		if begun {
			ok(t, os.Rename(in.Data, in.Data+".old"))
			act = in.RecoverSwap
		}
		if err := act(); err == nil || !strings.Contains(err.Error(), "make a base backup again") || exists(in.Data) == begun {
			t.Errorf("begun %t: %v", begun, err)
		}
	}
}

// Nothing of a server that was never swapped looks like something to drop.
func TestDropOldLeavesWhatItDidNotPutAside(t *testing.T) {
	in := aSwap(t)
	ok(t, in.DropCopy())
	layout, err := in.Layout()
	ok(t, err)
	for _, dir := range dirsOf(layout) {
		ok(t, os.Mkdir(dir+".old", 0o700)) // somebody's own
	}
	ok(t, in.DropOld())
	for _, dir := range dirsOf(layout) {
		if !exists(dir+".old") || exists(dir+".new") {
			t.Errorf("beside %s the wrong directory was removed", dir)
		}
	}
	ok(t, os.MkdirAll(in.Data+".new", 0o700))
	ok(t, relink(in.Data+".new", layout.places()[:1], older))
	if err := in.Swap(false); err == nil {
		t.Error("swapped over somebody's directory")
	}
	if !exists(in.Data) {
		t.Error("a swap that was refused has begun")
	}
}

// aSecondSwap is what aSwap leaves when its copy, of which a tablespace more lies
// elsewhere, turns out to be no whole data, and another copy waits.
func aSecondSwap(t *testing.T) *Instance {
	t.Helper()
	in := aSwap(t)
	dir := filepath.Dir(in.Data)
	ok(t, in.Swap(false))
	ok(t, os.Mkdir(filepath.Join(in.Data+".old", "global"), 0o700))
	ok(t, exec.Command("cp", filepath.Join(os.Getenv(templateVariable), "global", "pg_control"), filepath.Join(in.Data+".old", "global")).Run())
	ok(t, os.Mkdir(filepath.Join(dir, "n"), 0o700))
	ok(t, os.Symlink(filepath.Join(dir, "n"), filepath.Join(in.Data, "pg_tblspc", "16401")))
	for _, name := range []string{"d", "w", "s", "n"} {
		write(t, filepath.Join(dir, name, "who"), "void")
	}
	for _, name := range []string{"d.new", "w.new", "s.new"} {
		ok(t, os.MkdirAll(filepath.Join(dir, name, "pg_tblspc"), 0o700))
		write(t, filepath.Join(dir, name, "who"), "new")
	}
	ok(t, relink(in.Data+".new", Layout{WAL: filepath.Join(dir, "w"), Tablespaces: map[string]string{"16400": filepath.Join(dir, "s")}}.places(), older))
	return in
}

// voidSteps are the changes of a swap that discards the data directory, one by one.
func voidSteps(t *testing.T, in *Instance) (all []func()) {
	t.Helper()
	dir := filepath.Dir(in.Data)
	rename := func(from, to string) {
		all = append(all, func() { ok(t, os.Rename(filepath.Join(dir, from), filepath.Join(dir, to))) })
	}
	remove := func(names ...string) {
		for _, name := range names {
			all = append(all, func() { ok(t, os.RemoveAll(filepath.Join(dir, name))) })
		}
	}
	rename("d", "d.void")
	remove("w/who", "w", "s", "n/who", "n", "d.void/pg_wal", "d.void/pg_tblspc/16401", "d.void")
	rename("w.new", "w")
	rename("s.new", "s")
	rename("d.new", "d")
	return all
}

// isSecond: the second copy is in place, the old data lies aside and is whole, and of the
// first copy nothing is left.
func isSecond(t *testing.T, in *Instance, when string) {
	t.Helper()
	dir := filepath.Dir(in.Data)
	for _, name := range []string{"d", "w", "s"} {
		if who := read(t, filepath.Join(dir, name, "who")); who != "new" {
			t.Errorf("%s: %s is of %s", when, name, who)
		}
		if who := read(t, filepath.Join(dir, name+".old", "who")); who != "old" {
			t.Errorf("%s: %s.old is of %s", when, name, who)
		}
	}
	for _, data := range []string{"d", "d.old"} {
		layout, err := layoutOf(filepath.Join(dir, data))
		ok(t, err)
		ending := strings.TrimPrefix(data, "d")
		if layout.WAL != filepath.Join(dir, "w"+ending) || len(layout.Tablespaces) != 1 || layout.Tablespaces["16400"] != filepath.Join(dir, "s"+ending) {
			t.Errorf("%s: the layout of %s is %+v", when, data, layout)
		}
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 6 {
		t.Errorf("%s: there is %v, %v", when, all, err)
	}
}

func TestASwapThatDiscardsIsFinishedAfterAnyStep(t *testing.T) {
	for n := range len(voidSteps(t, aSecondSwap(t))) + 1 {
		in := aSecondSwap(t)
		for _, step := range voidSteps(t, in)[:n] {
			step()
		}
		ok(t, in.RecoverSwap())
		if n == 0 { // it has not begun, and what waits is the copy
			if read(t, filepath.Join(in.Data, "who")) != "void" || !in.HasCopy() {
				t.Error("a swap was begun that nobody asked for")
			}
			ok(t, in.Swap(false))
		}
		isSecond(t, in, fmt.Sprintf("after %d steps", n))
	}
}

// Somebody has emptied or removed the data directory in between: its directories
// elsewhere give way likewise.
func TestOldDataStaysWhenWhatReplacedItWasRemoved(t *testing.T) {
	for _, emptied := range []bool{true, false} {
		in := aSecondSwap(t)
		ok(t, os.RemoveAll(filepath.Join(filepath.Dir(in.Data), "n")))
		ok(t, os.RemoveAll(in.Data))
		if emptied {
			ok(t, os.Mkdir(in.Data, 0o700))
		}
		ok(t, in.Swap(false))
		isSecond(t, in, fmt.Sprintf("emptied %t", emptied))
	}
}

// A label alone is not enough: PostgreSQL 13 and 14 put one into a primary's own data
// for an exclusive backup. And data without one may be half rewound.
func TestWhichDataIsWhole(t *testing.T) {
	for name, c := range map[string]struct {
		label string
		half  bool
		kept  string
	}{
		"no label":            {"", false, "void"},
		"a copy's":            {"BACKUP METHOD: streamed\nBACKUP FROM: primary\n", false, "old"},
		"pg_rewind's":         {"BACKUP METHOD: pg_rewind\nBACKUP FROM: standby\n", false, "old"},
		"an exclusive backup": {"BACKUP METHOD: pg_start_backup\nBACKUP FROM: primary\n", false, "void"},
		"half rewound":        {"", true, "old"},
	} {
		in := aSecondSwap(t)
		ok(t, exec.Command("cp", "-r", filepath.Join(in.Data+".old", "global"), in.Data).Run())
		if c.label != "" {
			write(t, filepath.Join(in.Data, "backup_label"), c.label)
		}
		ok(t, in.Swap(c.half))
		if kept := read(t, filepath.Join(in.Data+".old", "who")); kept != c.kept {
			t.Errorf("%s: %s was kept", name, kept)
		}
	}
}

// What is not ours is neither deleted nor swapped over, and nothing has begun.
func TestASwapThatDiscardsRefusesWhatIsNotItsOwn(t *testing.T) {
	for _, name := range []string{"d.void", "n.old"} {
		in := aSecondSwap(t)
		dir := filepath.Dir(in.Data)
		write(t, filepath.Join(dir, name), "somebody's own")
		ok(t, os.Mkdir(filepath.Join(dir, "n.new"), 0o700))
		write(t, filepath.Join(dir, "n.new", "who"), "new")
		ok(t, os.Symlink(filepath.Join(dir, "n"), filepath.Join(in.Data+".new", "pg_tblspc", "16401")))
		if err := in.Swap(false); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if read(t, filepath.Join(dir, name)) != "somebody's own" || read(t, filepath.Join(in.Data, "who")) != "void" || read(t, filepath.Join(dir, "w.old", "who")) != "old" {
			t.Errorf("%s: something has begun", name)
		}
	}
	in := aSwap(t)
	ok(t, os.Mkdir(in.Data+".void", 0o700)) // the end of a swap that was cut off would delete it
	if err := in.Swap(false); err == nil || !exists(in.Data) {
		t.Errorf("a first swap beside somebody's own directory: %v", err)
	}
}

// Of old data that is deleted no part is taken for whole.
func TestOldDataThatIsHalfDeletedIsNotKept(t *testing.T) {
	in := aSecondSwap(t)
	space := filepath.Join(filepath.Dir(in.Data), "s.old")
	ok(t, os.Mkdir(filepath.Join(space, "fixed"), 0o500))
	write(t, filepath.Join(space, "fixed.d"), "")
	ok(t, os.Chmod(space, 0o500)) // what is in it cannot be deleted
	err := in.DropOld()
	ok(t, os.Chmod(space, 0o700))
	if err == nil {
		t.Fatal("nothing was in the way")
	}
	ok(t, in.Swap(false))
	if who := read(t, filepath.Join(in.Data+".old", "who")); who != "void" {
		t.Errorf("aside lies what is of %s", who)
	}
}

// Which of two is kept goes by what PostgreSQL itself has noted in them.
func TestOldDataGivesWayToACopyThatBecameConsistent(t *testing.T) {
	primary := newServer(t)
	start(t, primary)
	execute(t, primary, "create table copied(n int)")
	in := newServer(t)
	moveWAL(t, in)
	pid := start(t, in)
	execute(t, in, "create table old(n int)")
	ok(t, in.Kill(pid))
	ok(t, in.waitExit(within(t), pid))
	swap := func() {
		t.Helper()
		ok(t, in.BaseBackup(within(t), sourceOf(primary, "copy"), BackupOptions{}))
		ok(t, in.Swap(false))
	}
	swap()
	compareControl(t, in, InProduction)
	swap() // the first copy was never started
	stuckInBackup(t, in)
	swap()
	old := &Instance{Data: in.Data + ".old", Bin: in.Bin, LogFile: in.LogFile, Socket: in.Socket, Port: in.Port, User: in.User, Database: in.Database}
	pid = start(t, old)
	if query(t, old, "select count(*) from pg_class where relname = 'old'") != "1" {
		t.Error("it is not the old data that was kept")
	}
	ok(t, old.Stop(within(t), pid, Fast))
	pid = start(t, in)
	ok(t, in.Stop(within(t), pid, Immediate))
	compareControl(t, in, InArchiveRecovery)
	swap()
	pid = start(t, old)
	if query(t, old, "select count(*) from pg_class where relname = 'copied'") != "1" {
		t.Error("it is not the newest whole data that was kept")
	}
	ok(t, old.Stop(within(t), pid, Fast))
	ok(t, in.DropOld())
	if left, err := filepath.Glob(filepath.Join(in.Socket, "*.*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// stuckInBackup starts a copy whose log ends behind its checkpoint, before the end of
// the backup, and stops it.
func stuckInBackup(t *testing.T, in *Instance) {
	t.Helper()
	m := regexp.MustCompile(`(?s)file ([0-9A-F]{24})\).*CHECKPOINT LOCATION: (\S+)`).FindStringSubmatch(read(t, filepath.Join(in.Data, "backup_label")))
	if m == nil {
		t.Fatal("the label is not understood")
	}
	checkpoint, err := pair.ParseLSN(m[2])
	ok(t, err)
	segment := filepath.Join(in.Data, "pg_wal", m[1])
	log := []byte(read(t, segment))
	at := int(uint64(checkpoint) % uint64(len(log)))
	clear(log[at+int(binary.NativeEndian.Uint32(log[at:])+7)&^7:])
	ok(t, os.WriteFile(segment, log, 0o600))
	pid, err := in.Start(StartOptions{})
	ok(t, err)
	eventually(t, "it has begun to recover", func() bool {
		c, err := in.Control()
		return err == nil && c.BackupStart != 0 && exists(filepath.Join(in.Data, "backup_label.old"))
	})
	compareControl(t, in, InArchiveRecovery)
	ok(t, in.Stop(within(t), pid, Immediate))
}
