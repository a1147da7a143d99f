package postgres

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFileSystemThatHeldTheDataIsMissed(t *testing.T) {
	in := &Instance{Data: newDir(t)} // in memory, if that is there
	mount := mountOf(in.Data)
	if mount == "" {
		t.Fatalf("no mount point found for %s", in.Data)
	}
	if got := in.Unmounted(Layout{Mount: mount}); got != "" {
		t.Errorf("%s is there and was missed", got)
	}
	if got := in.Unmounted(Layout{}); got != "" {
		t.Errorf("%q was missed, although nothing was known", got)
	}
	// A plain directory where a file system used to be mounted.
	gone := filepath.Join(in.Data, "was-a-mount")
	ok(t, os.Mkdir(gone, 0o700))
	if got := in.Unmounted(Layout{Mount: gone}); got != gone {
		t.Errorf("missed %q, want %q", got, gone)
	}
	if got := in.Unmounted(Layout{Mount: filepath.Join(in.Data, "removed")}); got == "" {
		t.Error("a mount point that was removed was not missed")
	}
}
