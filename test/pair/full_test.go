package pair

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// smallDisk names, in a test's own mount namespace, a directory with a file system of
// smallDiskSize on it.
const (
	smallDisk     = "MCCTL_TEST_SMALL_DISK"
	smallDiskSize = "384m"
)

// onSmallDisk runs the test again where it has a small file system of its own. No
// privileges are needed: in a user namespace anybody may mount one. The inner namespace
// gives the user its own number back, for PostgreSQL refuses to be root there as well.
func onSmallDisk(t *testing.T) (dir string, inside bool) {
	t.Helper()
	if dir = os.Getenv(smallDisk); dir != "" {
		return dir, true
	}
	dir, err := os.MkdirTemp("", "mcsmall")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	const script = `mount -t tmpfs -o size="$1",mode=0700 small "$2" && shift 2 && exec unshare --user --map-user="$1" --map-group="$2" "$3" -test.run "^$4\$" -test.v -test.timeout 10m`
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", smallDiskSize, dir,
		fmt.Sprint(os.Getuid()), fmt.Sprint(os.Getgid()), "/proc/self/exe", t.Name())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args[len(cmd.Args)-2] = self
	cmd.Env = append(os.Environ(), smallDisk+"="+dir)
	out, err := cmd.CombinedOutput()
	t.Logf("in a namespace of its own:\n%s", out)
	if err != nil {
		t.Fatalf("%v; if a namespace is refused: sysctl user.max_user_namespaces must be above 0, and util-linux 2.36 or later", err)
	}
	return dir, false
}

// walOn moves a stopped server's log onto the small disk.
func (s *stage) walOn(disk string, of pair.Server) {
	s.Helper()
	wal := s.lab.Data(of) + "/pg_wal"
	to := filepath.Join(disk, "wal")
	if out, err := exec.Command("sh", "-c", fmt.Sprintf("mv %s %s && ln -s %s %s", wal, to, to, wal)).CombinedOutput(); err != nil {
		s.Fatalf("%v: %s", err, out)
	}
}

// stuff leaves nothing free at all.
func (s *stage) stuff(disk string) {
	s.Helper()
	out, err := exec.Command("dd", "if=/dev/zero", "of="+disk+"/filler", "bs=4k").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "No space left") {
		s.Fatalf("the disk has not been filled: %v: %s", err, out)
	}
}

// fill leaves so much of the small disk free, in MB.
func (s *stage) fill(disk string, leave int) {
	s.Helper()
	script := fmt.Sprintf(`free=$(($(stat -f -c '%%a * %%S' %[1]s) / 1048576)) && fallocate -l $((free - %[2]d))M %[1]s/filler`, disk, leave)
	s.eventually("the disk is filled", func() bool { // the log may take of it meanwhile
		out, err := exec.Command("sh", "-c", script).CombinedOutput()
		if err != nil {
			s.Logf("fill: %v: %s", err, out)
		}
		return err == nil
	})
}

// smallWAL is a pair of which one server has its log on the small disk.
func smallWAL(t *testing.T, disk string, of pair.Server, critical string) *stage {
	s := newStage(t, lab.Options{Profile: "tight", Settings: map[string]string{"fsync": "on", "wal_init_zero": "on", "max_wal_size": "48MB", "min_wal_size": "32MB", "wal_keep_size": "0"}})
	s.mcctl("stop", "-a", "-M", s.lab.Mcdir(one))
	s.walOn(disk, of)
	for _, of := range []pair.Server{one, two} {
		f, err := os.OpenFile(s.lab.Mcdir(of)+"/pair.toml", os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(f, "\n[policy]\ndisk_low = \"128MB\"\ndisk_critical = %q\n", critical); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	s.mcctl("start", "-W", "-M", s.lab.Mcdir(two))
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	s.paired(one)
	return s
}

func warned(st wire.Status, text string) bool {
	return strings.Contains(strings.Join(st.Warnings, "\n"), text)
}

// The primary's log has little room left and the standby's has: first a warning, then
// a switch in good order; never back, for the disk that was left is full still.
func TestAPrimaryWhoseDiskFillsHandsOverInGoodOrder(t *testing.T) {
	disk, inside := onSmallDisk(t)
	if !inside {
		return
	}
	s := smallWAL(t, disk, one, "80MB")
	s.flowing()
	s.fill(disk, 104)
	st := s.until("the disk is called low on both", two, func(st wire.Status) bool { return warned(st, "server1: room is low on "+disk) })
	if st.Record.Primary != one {
		t.Errorf("a low disk made a switch: %s", st.Record)
	}
	if plan := s.mcctl("rebuild", "--way", "copy", "--dry-run", "-M", s.lab.Mcdir(two)); !strings.Contains(plan, "warning: room is low on server1: "+disk) || !strings.Contains(plan, "server1 keeps its log there until the copy streams") {
		t.Errorf("a copy of a primary whose disk is low is planned so:\n%s", plan)
	}
	_ = os.Remove(filepath.Join(disk, "filler"))
	s.until("the warning is over", two, func(st wire.Status) bool { return !warned(st, "room is low") })
	s.fill(disk, 70)
	s.until("server2 is primary", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	st = s.until("paired again", two, func(st wire.Status) bool { return st.Record.Mode == pair.Paired && st.Record.Primary == two })
	if !warned(st, "server1: room is critical") {
		t.Errorf("the standby's disk is not called critical: %q", st.Warnings)
	}
	if out := s.mcctl("events", "-M", s.lab.Mcdir(one)); !strings.Contains(out, "rule 218") || strings.Contains(out, "hand-over") {
		t.Errorf("the events of server1:\n%s", out)
	}
	if st, _ = s.status(two); st.Record.Term != 2 {
		t.Errorf("the role went to and fro: %s", st.Record)
	}
	s.noCopyWithoutRoom(disk, one)
}

// noCopyWithoutRoom fills the disk of the standby's log further, so that it has not the
// room that a copy needs there (max_wal_size).
func (s *stage) noCopyWithoutRoom(disk string, of pair.Server) {
	s.Helper()
	_ = os.Remove(filepath.Join(disk, "filler"))
	s.fill(disk, 20)
	out, err := s.try("rebuild", "--way", "copy", "--yes", "-M", s.lab.Mcdir(of))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 4 || !strings.Contains(out, "and the copy needs 48 MB with the log that is written meanwhile, which is ") ||
		!strings.Contains(out, "MB more: make room, or give up the old data first with --in-place") {
		s.Errorf("a copy that has no room: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := wire.Dial(ctx, "unix", filepath.Join(s.lab.Mcdir(of), "run", "control.sock"), nil) // the supervisor refuses by itself, too
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Call(ctx, wire.KindRebuild, wire.RebuildRequest{Way: wire.WayCopy}, nil); !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), "and the copy needs 48 MB") {
		s.Errorf("asked at once, without a plan: %v", err)
	}
	if job := s.rebuildOf(of); job.ID != "" {
		s.Errorf("it was begun: %+v", job)
	}
	if st, err := s.status(of); err != nil || st.Record.Mode != pair.Paired {
		s.Errorf("the standby was given up for it: %s, %v", st.Record, err)
	}
}

// PostgreSQL that meets a full disk of its log dies of it (PANIC), and cannot start
// again there. The standby has every commit.
func TestAPrimaryThatDiesOfAFullDiskIsReplaced(t *testing.T) {
	disk, inside := onSmallDisk(t)
	if !inside {
		return
	}
	s := smallWAL(t, disk, one, "0%")
	s.flowing()
	s.fill(disk, 0)
	// Segments that are there already take more log; what is written goes beyond them.
	s.writeLog(one, 200)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	b, err := os.ReadFile(s.lab.Mcdir(one) + "/log/postgresql.log")
	if err != nil || !strings.Contains(string(b), "No space left on device") {
		t.Errorf("PostgreSQL did not meet the full disk: %v", err)
	}
	_ = os.Remove(filepath.Join(disk, "filler"))
	s.paired(two)
}

// A standby whose log has no room could not be promoted, and once it has the reign nobody may
// serve. It looks for itself: what its I/O probe told last may be old, either way.
func TestNoSwitchToAStandbyWhoseLogHasNoRoom(t *testing.T) {
	disk, inside := onSmallDisk(t)
	if !inside {
		return
	}
	s := smallWAL(t, disk, two, "80MB")
	noRoom := "server2 has no room to take over: " + disk + "/wal: 0 %"
	s.ask(one, "select pg_switch_wal()") // else the switch may need the next segment, which alone is in its way
	s.flowing()
	s.stuff(disk)
	if out, err := s.try("switch", "-M", s.lab.Mcdir(two)); exitStatus(err) != 4 || !strings.Contains(out, noRoom) {
		t.Errorf("a switch to a full disk: %v\n%s", err, out)
	}
	s.until("it is told", one, func(st wire.Status) bool {
		return warned(st, "server2: room is critical") && st.Summary == wire.SummaryNotSwitchable
	})
	_ = os.Remove(filepath.Join(disk, "filler"))
	checkpointer, ended := s.inCheckpoint()
	s.stuff(disk)
	signal(t, syscall.SIGCONT, checkpointer)
	s.ends(ended, "nothing was closed: "+noRoom)
	_ = os.Remove(filepath.Join(disk, "filler"))
	s.flowing()
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.paired(two)
}

// What is asked for is what a promotion writes, and clients can write then: two segments of
// 16 MB and one more MB.
func TestTheRoomThatIsAskedForIsEnough(t *testing.T) {
	disk, inside := onSmallDisk(t)
	if !inside {
		return
	}
	s := smallWAL(t, disk, two, "0%")
	s.ask(one, "select pg_switch_wal()")
	s.flowing()
	s.fill(disk, 34) // small files may come meanwhile
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.flowing()
	_ = os.Remove(filepath.Join(disk, "filler"))
	s.paired(two)
}

// Nothing can be written to the management directory any more, and yet a supervisor comes
// up there, and the standby saves its reign before it opens: room was kept for that.
func TestAStandbyWhoseManagementDirectoryIsFullTakesOver(t *testing.T) {
	disk, inside := onSmallDisk(t)
	if !inside {
		return
	}
	s := newStage(t, lab.Options{})
	s.mcctl("stop", "-a", "-M", s.lab.Mcdir(one))
	mcdir := s.lab.Mcdir(two)
	if out, err := exec.Command("sh", "-c", fmt.Sprintf("mv %s %s/mcdir && ln -s %s/mcdir %s", mcdir, disk, disk, mcdir)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.mcctl("start", "-W", "-M", mcdir)
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	s.paired(one)
	s.flowing()
	s.stuff(disk)
	s.until("the full disk is told", two, func(st wire.Status) bool { return warned(st, "management directory's disk") })
	s.killed(s.lab.Pids().Servers[two].Supervisor)
	s.paired(one)
	s.until("the next supervisor is there", two, func(st wire.Status) bool { return st.Healthy })
	s.kill(s.lab.Pids().Servers[one].Postmaster)
	s.promised(time.Second, "server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	if _, err := os.Stat(mcdir + "/record.json.reserve"); !os.IsNotExist(err) {
		t.Errorf("the reserve was not needed: %v", err)
	}
	_ = os.Remove(filepath.Join(disk, "filler"))
	s.paired(two)
}

// writeLog writes so many MB of log; the fault that is to be made may cut it off.
func (s *stage) writeLog(at pair.Server, mb int) {
	s.Helper()
	b, err := os.ReadFile(filepath.Join(s.lab.Data(at), "postmaster.pid"))
	if err != nil {
		s.Fatal(err)
	}
	lines := strings.Split(string(b), "\n") // port and socket directory are the 4th and 5th line
	statement := fmt.Sprintf("select count(pg_logical_emit_message(false, 'fill', repeat('x', 1048576))) from generate_series(1, %d)", mb)
	out, err := exec.Command(filepath.Join(s.lab.BinDir(), "psql"), "-XAtq", "-h", lines[4], "-p", lines[3], "-U", "postgres", "-d", "postgres", "-c", statement).CombinedOutput()
	s.Logf("writing %d MB of log: %v: %s", mb, err, out)
}
