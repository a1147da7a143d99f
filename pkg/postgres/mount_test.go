package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"mcctl/pkg/durable"
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

// After a start at which the disk with half rewound data is missing.
func TestOwnFilesAreNotRestoredToWhereNothingIsMounted(t *testing.T) {
	in := &Instance{Data: newDir(t)}
	keep := filepath.Join(t.TempDir(), "kept")
	ok(t, os.Mkdir(keep, 0o700))
	write(t, filepath.Join(keep, "postgresql.conf"), "")
	for _, c := range []struct {
		mount string
		want  error
	}{{in.Data, ErrUnmounted}, {mountOf(in.Data), ErrUnfinished}} {
		ok(t, durable.WriteJSON(filepath.Join(keep, keptLayout), Layout{Mount: c.mount}, 0o600))
		if err := in.RestoreKept(keep); !errors.Is(err, c.want) {
			t.Errorf("held by %s: %v", c.mount, err)
		}
		if is := !in.Empty(); is != (c.want == ErrUnfinished) {
			t.Errorf("held by %s: restored %t", c.mount, is)
		}
	}
}
