package durable

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func replaceFails(t *testing.T, path, old string, why error) {
	t.Helper()
	if _, err := Replace(path, []byte(old), []byte("ours"), false); !errors.Is(err, why) {
		t.Errorf("replaced in spite of %q: %v", why, err)
	}
}

func TestReplaceLeavesAFileToWhoWritesIt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "old", 0o640)
	replaceFails(t, path, "something else", ErrChanged)
	wantContent(t, path, "old")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	replaceFails(t, path, "", ErrBusy)
	if !Busy(path) {
		t.Error("nobody seems to write it")
	}
	_, _ = f.WriteString("theirs")
	_ = f.Close()
	wantContent(t, path, "theirs")
	if left, err := Replace(path, []byte("theirs"), []byte("ours"), false); left != "" || err != nil || Busy(path) {
		t.Errorf("replace: %q, %v", left, err)
	}
	wantContent(t, path, "ours")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	wantOnly(t, dir, "f")
}

// By force the writer's file gets a name of its own.
func TestReplaceByForceKeepsWhatTheWriterWrites(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "old", 0o600)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	left, err := Replace(path, []byte("old"), []byte("ours"), true)
	if left != path+Displaced || err != nil {
		t.Fatalf("replace: %q, %v", left, err)
	}
	_, _ = f.WriteString("theirs")
	_ = f.Close()
	wantContent(t, path, "ours")
	wantContent(t, left, "theirs")
	wantOnly(t, dir, "f", "f"+Displaced)
}

// Who comes to write while the file is being exchanged waits in open, and writes the
// file that has the name.
func TestWhoComesToWriteMeanwhileIsLetIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "old", 0o600)
	g, err := guardFile(path)
	if err != nil || g.busy || !g.leased {
		t.Fatalf("guard: %+v, %v; run the tests with TMPDIR on a file system that has leases, as ext4, xfs or tmpfs", g, err)
	}
	saved := make(chan error, 1)
	go func() { saved <- os.WriteFile(path, []byte("theirs"), 0o600) }()
	untilAwaited(t, g)
	wantContent(t, path, "old")
	_ = g.Close()
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "theirs")
}

// guardOld guards the file at path, which holds "old"; "ours" is at temp, to be exchanged.
func guardOld(t *testing.T) (g *guard, path, temp string) {
	t.Helper()
	dir := t.TempDir()
	path, temp = filepath.Join(dir, "f"), filepath.Join(dir, ".f"+suffix)
	write(t, path, "old", 0o600)
	write(t, temp, "ours", 0o600)
	g, err := guardFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return g, path, temp
}

func untilAwaited(t *testing.T, g *guard) {
	t.Helper()
	for began := time.Now(); !g.awaited(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("nobody waits")
		}
	}
}

// A writer that waits for the old file may be interrupted by a signal and come again: then
// it finds the new one, and what it saves there stays.
func TestWhoIsInterruptedAndComesAgainLosesNothing(t *testing.T) {
	g, path, temp := guardOld(t)
	if err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Open(temp, unix.O_WRONLY|unix.O_NONBLOCK, 0); !errors.Is(err, unix.EAGAIN) || !g.awaited() {
		t.Fatalf("it did not come to wait: %v", err)
	}
	if err := os.WriteFile(path, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if left, err := g.settle(temp, path, []byte("old"), []byte("ours")); left != "" || !errors.Is(err, ErrChanged) {
		t.Errorf("left %q, %v", left, err)
	}
	wantContent(t, path, "theirs")
	wantOnly(t, filepath.Dir(path), "f")
}

// The name was taken away, or the disk fails, when a writer's file is to get it back: what
// the writer saves is kept, and the error says where.
func TestASaveThatCannotBePutBackIsKept(t *testing.T) {
	g, path, temp := guardOld(t)
	// A program without signals of its own: Go's interrupt an open that waits, and it would
	// come again, and find the name free.
	writer := exec.Command("sh", "-c", "printf theirs >"+path)
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	untilAwaited(t, g)
	if err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	left, err := g.settle(temp, path, []byte("old"), []byte("ours"))
	_ = g.Close()
	if left != path+Displaced || err == nil || errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), left) {
		t.Errorf("left %q, %v", left, err)
	}
	if err := writer.Wait(); err != nil {
		t.Fatal(err)
	}
	wantContent(t, left, "theirs")
	wantOnly(t, filepath.Dir(path), "f"+Displaced)
}

// Somebody saves in place, again and again, and looks each time: what was saved is there
// until the next save, whatever is replaced meanwhile. What is replaced is a first byte.
func TestNothingThatIsSavedInPlaceIsLost(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	text := func(n int) string { return fmt.Sprintf("-%0*d", 9000, n) }
	write(t, path, text(0), 0o600)
	var ended atomic.Bool
	finished := make(chan int)
	go func() {
		defer ended.Store(true)
		saves := 0
		for began := time.Now(); time.Since(began) < 3*time.Second; saves++ {
			if !saveInPlace(t, path, text(saves)) {
				break
			}
		}
		finished <- saves
	}()
	done, busy, changed := 0, 0, 0
	for !ended.Load() {
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ours := append([]byte{}, old...)
		if len(ours) > 0 {
			ours[0] ^= '-' ^ '+'
		}
		switch _, err := Replace(path, old, ours, false); {
		case err == nil:
			done++
		case errors.Is(err, ErrBusy):
			busy++
		case errors.Is(err, ErrChanged):
			changed++
		default:
			t.Fatal(err)
		}
		select {
		case saves := <-finished:
			t.Logf("%d saves; replaced %d times, found it busy %d and changed %d times", saves, done, busy, changed)
			if done == 0 || busy == 0 {
				t.Error("they never met")
			}
			wantOnly(t, dir, "f")
			return
		default:
		}
	}
	<-finished
}

// saveInPlace saves as an editor does that keeps the file, and looks a moment later.
func saveInPlace(t *testing.T, path, text string) bool {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Error(err)
		return false
	}
	half := len(text) / 2
	_, _ = f.WriteString(text[:half])
	time.Sleep(100 * time.Microsecond)
	_, _ = f.WriteString(text[half:])
	_ = f.Close()
	time.Sleep(time.Duration(time.Now().Nanosecond()%2000) * time.Microsecond)
	if got, err := os.ReadFile(path); err != nil || len(got) != len(text) || string(got[1:]) != text[1:] {
		t.Errorf("saved ...%s, found %d bytes ...%s, %v", text[len(text)-6:], len(got), got[max(0, len(got)-6):], err)
		return false
	}
	return true
}

// What a replacement would end with is told before, and nothing is left of the try.
func TestTryReplace(t *testing.T) {
	dir, far := t.TempDir(), t.TempDir()
	plain, link := filepath.Join(dir, "plain"), filepath.Join(dir, "link")
	write(t, plain, "old", 0o640)
	write(t, filepath.Join(far, "f"), "old", 0o640)
	if err := os.Symlink(filepath.Join(far, "f"), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{plain, link} {
		if err := TryReplace(path, []byte("new")); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		wantContent(t, path, "old")
	}
	if os.Geteuid() != 0 { // whom no mode holds up
		if err := os.Chmod(far, 0o500); err != nil {
			t.Fatal(err)
		}
		_, replaced := Replace(link, []byte("old"), []byte("new"), true)
		if tried := TryReplace(link, []byte("new")); tried == nil || replaced == nil || tried.Error() != replaced.Error() {
			t.Errorf("the try says %v, the replacement %v", tried, replaced)
		}
		_ = os.Chmod(far, 0o700)
	}
	wantOnly(t, dir, "link", "plain")
	wantOnly(t, far, "f")
}

// PostgreSQL reads while we hold the lease: readers are not held up.
func TestFactAReadLeaseIsBrokenByWritersOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "old", 0o600)
	g, err := guardFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	wantContent(t, path, "old")
	if g.awaited() {
		t.Error("a reader broke the lease")
	}
	if _, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_NONBLOCK, 0); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("a writer got in: %v", err)
	}
	if !g.awaited() {
		t.Error("a writer did not break the lease")
	}
}
