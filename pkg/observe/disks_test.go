package observe

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mcctl/pkg/board"
	"mcctl/pkg/wire"
)

// otherDisk is a directory on another file system than that of dir.
func otherDisk(t *testing.T, dir string) string {
	t.Helper()
	other, err := os.MkdirTemp("/dev/shm", "mcdisk")
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(other) })
	var a, b unix.Stat_t
	ok(t, unix.Stat(dir, &a))
	ok(t, unix.Stat(other, &b))
	if a.Dev == b.Dev {
		t.Fatalf("%s and %s are on one file system: set TMPDIR to a directory that is not in /dev/shm", dir, other)
	}
	return other
}

// withDisks is a watched data directory whose pg_wal is on another disk.
func withDisks(t *testing.T, timeout time.Duration) (b *board.Board, data, wal string) {
	t.Helper()
	data = t.TempDir()
	wal = otherDisk(t, data)
	ok(t, os.Mkdir(filepath.Join(data, "pg_tblspc"), 0o700))
	ok(t, os.Symlink(wal, filepath.Join(data, "pg_wal")))
	b = board.NewBoard()
	d := Disk{Board: b, Program: self(t), Dir: data, Every: probeEvery, Timeout: timeout}
	running(t, d.Watch)
	eventually(t, "the probe has written on both disks, and told of both", func() bool {
		return exists(probeFile(data)) && exists(probeFile(wal)) && place(b, data) != nil && place(b, wal) != nil
	})
	return b, data, wal
}

func place(b *board.Board, path string) *board.Place {
	for _, p := range b.Read().Places {
		if p.Path == path {
			return &p
		}
	}
	return nil
}

func TestTheDiskOfTheLogIsTriedToo(t *testing.T) {
	b, data, wal := withDisks(t, impatient)
	hang(t, b, wal)
	// A busy machine may have held up the try of the other one too, for a while.
	eventually(t, "it is the one that fails", func() bool {
		s := b.Read()
		return strings.HasPrefix(s.DiskError, wal+": ") && s.DiskPart == wire.DiskWAL && place(b, data).Error == ""
	})
	ok(t, os.Remove(probeFile(wal)))
	eventually(t, "writes come to an end again", fine(b))
}

// Each new probe finds out only after a while that there is such a disk.
func TestAHangingDiskOfTheLogStaysAFailureHoweverManyProbesTry(t *testing.T) {
	b, data, wal := withDisks(t, impatient)
	hang(t, b, wal)
	woken(b)
	threeMoreProbes(t, data)
	if s := b.Read(); woken(b) || !s.DiskFailed || s.DiskPart != wire.DiskWAL {
		t.Errorf("the verdict flickered: %+v", s)
	}
	ok(t, os.Remove(probeFile(wal)))
	eventually(t, "writes come to an end again", fine(b))
}

func TestWhatWasGivenUpWhileNoProbeRanIsWatchedNoMore(t *testing.T) {
	b, data, wal := withDisks(t, forgiving)
	pid := probeOf(data)
	send(t, pid, syscall.SIGSTOP)
	ok(t, os.Remove(filepath.Join(data, "pg_wal")))
	send(t, pid, syscall.SIGKILL)
	eventually(t, "the log's old directory is forgotten", func() bool { return place(b, wal) == nil })
}

func TestTablespacesAreNoticedAndLeftAlone(t *testing.T) {
	notRoot(t)
	b, data, wal := withDisks(t, forgiving)
	near := t.TempDir()                  // on the data directory's disk
	far := filepath.Join(wal, "..", "x") // on the log's, which is what speaks for it
	far = filepath.Clean(far + filepath.Base(wal))
	ok(t, os.Mkdir(far, 0o700))
	t.Cleanup(func() { _ = os.RemoveAll(far) })
	link := func(oid, to string) string {
		path := filepath.Join(data, "pg_tblspc", oid)
		ok(t, os.Symlink(to, path))
		eventually(t, to+" is watched", func() bool { return place(b, to) != nil })
		return path
	}
	link("16385", near)
	away := link("16386", far)
	settled(t, data)
	if exists(probeFile(near)) || exists(probeFile(far)) {
		t.Error("a second file is written on the same disk")
	}
	ok(t, os.Remove(filepath.Join(data, "pg_wal"))) // the log's directory comes back to the data
	eventually(t, "the tablespace's disk is tried itself", func() bool { return exists(probeFile(far)) })
	eventually(t, "the file in the log's old directory is gone", func() bool { return !exists(probeFile(wal)) })
	ok(t, os.Chmod(probeFile(far), 0o400))
	eventually(t, "the tablespace's disk refuses", failed(b))
	if s := b.Read(); !strings.HasPrefix(s.DiskError, far+": ") || s.DiskPart != wire.DiskTablespace {
		t.Errorf("the error is %q of %q", s.DiskError, s.DiskPart)
	}
	ok(t, os.Remove(away)) // as DROP TABLESPACE does
	eventually(t, "a disk that is not PostgreSQL's any more has no say", fine(b))
	eventually(t, "the directory is left as it was", func() bool { return !exists(probeFile(far)) })
}

// What a slow disk takes is far below the timeout, however long it goes on.
func TestASlowDiskHasNotFailed(t *testing.T) {
	b, data, _ := withDisks(t, forgiving)
	for range 10 {
		pid := probeOf(data)
		send(t, pid, syscall.SIGSTOP)
		time.Sleep(200 * time.Millisecond)
		send(t, pid, syscall.SIGCONT)
	}
	settled(t, data)
	if woken(b) {
		t.Errorf("a verdict was noted: %+v", b.Read())
	}
}

func TestRoomIsMeasuredOnEveryDisk(t *testing.T) {
	b, data, wal := withDisks(t, forgiving)
	eventually(t, "it is known which disk has the log", func() bool { return place(b, wal).Log && !place(b, data).Log })
	for _, path := range []string{data, wal} {
		eventually(t, "the room of "+path+" is known", func() bool { return place(b, path).Known() })
		var st unix.Statfs_t
		ok(t, unix.Statfs(path, &st))
		if got := place(b, path).Total; got != st.Blocks*uint64(st.Bsize) {
			t.Errorf("%s: %d bytes, want %d", path, got, st.Blocks*uint64(st.Bsize))
		}
	}
	near := t.TempDir() // on the data directory's disk, which speaks for it
	ok(t, os.Remove(filepath.Join(data, "pg_wal")))
	ok(t, os.Symlink(near, filepath.Join(data, "pg_wal")))
	eventually(t, "the log has moved", func() bool { return place(b, near) != nil && place(b, data).Log })
	if place(b, near).Log {
		t.Error("two disks have the log")
	}
}

// A machine that is out of processes or descriptors has no failed disk.
func TestAProbeThatCannotBeStartedIsNoFailedDisk(t *testing.T) {
	for _, c := range []struct{ name, program string }{
		{"no such program", "/nowhere/mcctl"}, {"it ends at once", "/bin/false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := board.NewBoard()
			d := Disk{Board: b, Program: c.program, Dir: t.TempDir(), Every: probeEvery, Timeout: forgiving}
			running(t, d.Watch)
			eventually(t, "the trouble is told", func() bool { return b.Read().ProbeTrouble != "" })
			if b.Read().DiskFailed {
				t.Error("the disk has failed")
			}
		})
	}
}
