package pair

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// probeFile is what the I/O probe writes in each directory that it tries.
const probeFile = "mcctl_io_probe"

// walElsewhere moves a stopped server's log to a disk of its own.
func (s *stage) walElsewhere(of pair.Server) string {
	s.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mcwal")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	wal := s.lab.Data(of) + "/pg_wal"
	if err := os.CopyFS(dir, os.DirFS(wal)); err != nil {
		s.Fatal(err)
	}
	if err := os.RemoveAll(wal); err != nil {
		s.Fatal(err)
	}
	if err := os.Symlink(dir, wal); err != nil {
		s.Fatal(err)
	}
	return dir
}

// A FIFO that nobody reads hangs whoever opens it for writing, as a dead disk does.
func TestAHungDiskOfTheLogMakesTheStandbyTakeOver(t *testing.T) {
	s := newStage(t, lab.Options{Profile: "tight", Settings: map[string]string{"fsync": "on", "wal_init_zero": "on"}})
	s.mcctl("stop", "-a", "-M", s.lab.Mcdir(one))
	wal := s.walElsewhere(one)
	s.mcctl("start", "-W", "-M", s.lab.Mcdir(two))
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	s.paired(one)
	s.flowing()
	if err := syscall.Mkfifo(filepath.Join(wal, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(wal, "fifo"), filepath.Join(wal, probeFile)); err != nil {
		t.Fatal(err)
	}
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	st := s.until("the disk is named", two, func(st wire.Status) bool { return strings.Contains(st.Servers[0].DiskError, wal) })
	if strings.Contains(st.Servers[0].DiskError, s.lab.Data(one)+":") {
		t.Errorf("the wrong disk is blamed: %s", st.Servers[0].DiskError)
	}
	s.flowing()
	if err := os.Remove(filepath.Join(wal, probeFile)); err != nil {
		t.Fatal(err)
	}
	s.paired(two)
	if to, err := os.Readlink(s.lab.Data(one) + "/pg_wal"); err != nil || to != wal {
		t.Errorf("pg_wal leads to %q, %v", to, err)
	}
}
