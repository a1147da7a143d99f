package observe

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/disk"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

const (
	probeEvery = 10 * time.Millisecond
	// impatient is a timeout that a test waits for; forgiving one that must not pass,
	// however busy the machine is.
	impatient, forgiving = 300 * time.Millisecond, limit
	// supervisorCommand starts this program as a process that watches a disk.
	supervisorCommand = "play-supervisor"
)

func playProbe(dir, every string) int {
	pace, err := time.ParseDuration(every)
	if err == nil {
		err = (&disk.Probe{Data: dir, File: postgres.ProbeFile, Every: pace, Pause: time.Sleep, Out: os.Stdout}).Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func playSupervisor(dir string) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	d := Disk{Board: board.NewBoard(), Program: self, Dir: dir, Every: probeEvery, Timeout: time.Minute}
	_ = d.Watch(context.Background())
}

func self(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	ok(t, err)
	return program
}

// watched is a watched directory, in which a write has come to an end.
func watched(t *testing.T, timeout time.Duration) (*board.Board, string) {
	t.Helper()
	dir := t.TempDir()
	b := board.NewBoard()
	d := Disk{Board: b, Program: self(t), Dir: dir, Every: probeEvery, Timeout: timeout}
	running(t, d.Watch)
	eventually(t, "the probe has written", func() bool { return exists(probeFile(dir)) })
	return b, dir
}

func probeFile(dir string) string { return filepath.Join(dir, "mcctl_io_probe") }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// probeOf finds the child that tries dir, 0 when there is none. Nobody else has
// the name of a test's directory on its command line like that.
func probeOf(dir string) int {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(b), "\x00"+ProbeCommand+"\x00"+dir+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			return pid
		}
	}
	return 0
}

func failed(b *board.Board) func() bool { return func() bool { return b.Read().DiskFailed } }

func fine(b *board.Board) func() bool { return func() bool { return !b.Read().DiskFailed } }

func TestADiskThatRefusesWritesHasFailedUntilItTakesThem(t *testing.T) {
	notRoot(t)
	b, dir := watched(t, forgiving)
	for _, c := range []struct {
		name        string
		refuse, let func() error
	}{
		{"the file", func() error { return os.Chmod(probeFile(dir), 0o400) }, func() error { return os.Chmod(probeFile(dir), 0o600) }},
		{"the directory", func() error { return withoutProbeFile(dir) }, func() error { return os.Chmod(dir, 0o700) }},
	} {
		ok(t, c.refuse())
		eventually(t, c.name+" cannot be written", failed(b))
		if s := b.Read(); !strings.Contains(s.DiskError, "permission denied") || s.DiskPart != wire.DiskData {
			t.Errorf("%s: the error is %q of %q", c.name, s.DiskError, s.DiskPart)
		}
		ok(t, c.let())
		eventually(t, c.name+" can be written again", fine(b))
		if s := b.Read(); s.DiskError != "" {
			t.Errorf("%s: fine, yet the error is still %q", c.name, s.DiskError)
		}
	}
}

// withoutProbeFile makes the directory read-only while the probe's file is away:
// a file that is there can be written in a directory that cannot.
func withoutProbeFile(dir string) error {
	for range 1000 {
		if err := os.Remove(probeFile(dir)); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.Chmod(dir, 0o500); err != nil || !exists(probeFile(dir)) {
			return err
		}
		if err := os.Chmod(dir, 0o700); err != nil { // the probe was quicker
			return err
		}
	}
	return fs.ErrExist
}

func TestAFullOrSwappedDiskHasNotFailed(t *testing.T) {
	b, dir := watched(t, forgiving)
	ok(t, os.Symlink("/dev/full", probeFile(dir)+".link"))
	ok(t, os.Rename(probeFile(dir)+".link", probeFile(dir)))
	settled(t, dir)
	ok(t, os.Rename(dir, dir+".old")) // as a rebuild swaps data directories
	settled(t, dir)
	ok(t, os.Rename(dir+".old", dir))
	settled(t, dir)
	if woken(b) {
		t.Errorf("a verdict was noted: %+v", b.Read())
	}
}

// settled waits until the probe has made some more rounds.
func settled(t *testing.T, dir string) {
	t.Helper()
	pid := probeOf(dir)
	if pid == 0 {
		t.Fatal("no probe runs")
	}
	switches := func() (n int) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		ok(t, err)
		_, after, _ := strings.Cut(string(b), "syscw: ")
		_, _ = fmt.Sscan(after, &n)
		return n
	}
	before := switches()
	eventually(t, "the probe goes on", func() bool { return switches() >= before+6 })
}

func TestAKilledProbeIsReplacedWithoutAnAlarm(t *testing.T) {
	b, dir := watched(t, forgiving)
	for range 3 {
		settled(t, dir) // one that ends before its first try is told of
		first := probeOf(dir)
		send(t, first, syscall.SIGKILL)
		eventually(t, "another probe runs", func() bool { next := probeOf(dir); return next != 0 && next != first })
	}
	settled(t, dir)
	if woken(b) {
		t.Errorf("a verdict was noted: %+v", b.Read())
	}
}

func TestAFrozenProbeIsAFailedDiskAfterItsTimeout(t *testing.T) {
	b, dir := watched(t, impatient)
	first, began := probeOf(dir), time.Now()
	send(t, first, syscall.SIGSTOP)
	eventually(t, "the silence was noted", failed(b))
	// Half of it, because on a busy machine the probe may have been silent before.
	if after := time.Since(began); after < impatient/2 {
		t.Errorf("failed after %s, before the timeout of %s", after, impatient)
	}
	if s := b.Read(); !strings.Contains(s.DiskError, impatient.String()) {
		t.Errorf("the error is %q", s.DiskError)
	}
	eventually(t, "the next probe finds the disk fine", fine(b))
	if probeOf(dir) == first {
		t.Error("the frozen probe was not ended")
	}
}

// hang returns when it is noted. A FIFO that nobody reads hangs whoever opens it for
// writing, as a dead disk does.
func hang(t *testing.T, b *board.Board, dir string) {
	t.Helper()
	fifo := filepath.Join(dir, "fifo")
	ok(t, syscall.Mkfifo(fifo, 0o600))
	ok(t, os.Rename(fifo, probeFile(dir)))
	eventually(t, "the hanging write was noted", failed(b))
}

func TestAHangingWriteStaysAFailureHoweverManyProbesTry(t *testing.T) {
	b, dir := watched(t, impatient)
	hang(t, b, dir)
	woken(b)
	threeMoreProbes(t, dir)
	if woken(b) || !b.Read().DiskFailed {
		t.Errorf("the verdict flickered: %+v", b.Read())
	}
	ok(t, os.Remove(probeFile(dir)))
	eventually(t, "writes come to an end again", fine(b))
}

// threeMoreProbes waits until the third one after this one tries.
func threeMoreProbes(t *testing.T, dir string) {
	t.Helper()
	tried := map[int]bool{}
	eventually(t, "three more probes have hung", func() bool {
		if pid := probeOf(dir); pid != 0 {
			tried[pid] = true
		}
		return len(tried) > 3
	})
}

func TestTheProbeEndsWithItsSupervisor(t *testing.T) {
	for _, c := range []struct {
		name   string
		parent func(dir string) *exec.Cmd
	}{
		{"killed", func(dir string) *exec.Cmd { return exec.Command(self(t), supervisorCommand, dir) }},
		// Somebody else may hold the pipe's other end: then only the parent tells.
		{"killed, and its pipe lives on", func(dir string) *exec.Cmd {
			return exec.Command("sh", "-c", `"$0" io-probe "$1" 10ms '' >/dev/null & wait`, self(t), dir)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			parent := c.parent(dir)
			ok(t, parent.Start())
			t.Cleanup(func() {
				if pid := probeOf(dir); pid != 0 {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			})
			defer func() { _ = parent.Wait() }()
			defer func() { _ = parent.Process.Kill() }()
			eventually(t, "the probe has written", func() bool { return exists(probeFile(dir)) })
			ok(t, parent.Process.Kill())
			eventually(t, "the probe has ended", func() bool { return probeOf(dir) == 0 })
		})
	}
}

func TestTheProbeEndsWithItsWatcher(t *testing.T) {
	dir := t.TempDir()
	d := Disk{Board: board.NewBoard(), Program: self(t), Dir: dir, Every: probeEvery, Timeout: forgiving}
	t.Run("watching", func(t *testing.T) {
		running(t, d.Watch)
		eventually(t, "the probe has written", func() bool { return exists(probeFile(dir)) })
	})
	if pid := probeOf(dir); pid != 0 {
		t.Errorf("probe %d outlived its watcher", pid)
	}
}

// A supervisor that was stopped itself has heard nothing, which says nothing of the disk.
func TestSilenceWhileThisProcessWasStoppedIsNoVerdict(t *testing.T) {
	now := time.Now()
	d := Disk{Board: board.NewBoard(), Every: probeEvery, Timeout: impatient, places: []board.Place{{Path: "/data"}}, due: []time.Time{now}}
	if d.silent(now.Add(heldUp+time.Millisecond)) || !fine(d.Board)() {
		t.Errorf("a disk has failed: %s", d.Board.Read().DiskError)
	}
	if !d.silent(d.due[0]) || !failed(d.Board)() {
		t.Error("silence in the time after that is no failure")
	}
}

// While the data directory hangs, a new probe may never find out where else to try.
func TestSilenceWhereAProbeDoesNotTryYetIsNoVerdict(t *testing.T) {
	d := Disk{Board: board.NewBoard(), Dir: "/data", Every: probeEvery, Timeout: impatient}
	list := disk.Line{Paths: []string{"/data", "/wal", "/near"}, WAL: "/wal"}
	d.take(list)
	d.begin(time.Now())
	if !d.silent(d.nextDue()) || place(d.Board, "/data").Error == "" || place(d.Board, "/wal").Error != "" {
		t.Errorf("only the data directory is silent, places %+v", d.Board.Read().Places)
	}
	d.take(list)
	d.take(disk.Line{Path: "/near", Same: "/data"})
	d.take(list)
	if wal, near := d.due[1], d.due[2]; wal.IsZero() || !near.IsZero() {
		t.Errorf("awaited are %v where it tries and %v where another disk speaks", wal, near)
	}
}
