package check_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/check"
	"mcctl/pkg/config"
	"mcctl/test/fault"
)

func TestAMountInsideTheDataDirectoryIsSeen(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	dir := t.TempDir()
	wal := filepath.Join(dir, "d", "pg_wal")
	if err := errors.Join(os.MkdirAll(wal, 0o700), syscall.Mount(wal, wal, "", syscall.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(wal, syscall.MNT_DETACH) })
	c := &config.Config{Dir: dir}
	c.Server.DataDirectory = filepath.Dir(wal)
	s := check.Looker{Config: c, Root: dir, Now: time.Now, Patience: time.Second}.Look(t.Context())
	if !strings.HasPrefix(s.Mounted, wal+" is a mount point") {
		t.Errorf("%q; %v", s.Mounted, s.Missing)
	}
}
