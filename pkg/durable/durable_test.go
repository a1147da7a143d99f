package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", path, got, err, want)
	}
}

func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if err != nil || strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("%s holds %q, %v; want %q", dir, got, err, names)
	}
}

func TestWriteFileReplacesAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "a longer first content", 0o644)
	write(t, path, "short", 0o644)
	wantContent(t, path, "short")
	write(t, path, "", 0o644)
	wantContent(t, path, "")
	wantOnly(t, dir, "f")
}

func TestWriteFileMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	path := filepath.Join(t.TempDir(), "f")
	for _, c := range []struct {
		why          string
		chmod, asked fs.FileMode
		want         fs.FileMode
	}{
		{"a new file gets the mode asked for, whatever the umask", 0, 0o664, 0o664},
		{"an existing file keeps its own", 0o600, 0o644, 0o600},
		{"also a wider one", 0o640, 0o600, 0o640},
		{"also one that forbids writing", 0o400, 0o600, 0o400},
	} {
		if c.chmod != 0 {
			if err := os.Chmod(path, c.chmod); err != nil {
				t.Fatal(err)
			}
		}
		write(t, path, c.why, c.asked)
		info, err := os.Stat(path)
		if err != nil || info.Mode() != c.want {
			t.Errorf("%s: mode %v, %v; want %v", c.why, info.Mode(), err, c.want)
		}
		wantContent(t, path, c.why)
	}
}

// As root another user's file stays that user's; otherwise the file stays ours.
func TestWriteFileKeepsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "old", 0o640)
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 65534, 65533
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	write(t, path, "new", 0o600)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != uid || int(st.Gid) != gid || info.Mode() != 0o640 {
		t.Errorf("owner %d:%d mode %v, want %d:%d -rw-r-----", st.Uid, st.Gid, info.Mode(), uid, gid)
	}
}

func TestWriteFileFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"etc", "data"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range [][2]string{ // in this order: the chain needs its second link
		{"data/relative", "../etc/conf"},
		{"data/absolute", filepath.Join(dir, "etc/conf")},
		{"data/chain", "relative"},
		{"data/dangling", "../etc/new"},
	} {
		link, target := l[0], l[1]
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, link), link, 0o600)
		if got, err := os.Readlink(filepath.Join(dir, link)); err != nil || got != target {
			t.Errorf("%s leads to %q, %v; want %q untouched", link, got, err, target)
		}
		wantContent(t, filepath.Join(dir, link), link)
	}
	wantOnly(t, filepath.Join(dir, "etc"), "conf", "new")
	wantOnly(t, filepath.Join(dir, "data"), "absolute", "chain", "dangling", "relative")
}

func TestWriteFileRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Symlink("b", filepath.Join(dir, "a")), os.Symlink("a", filepath.Join(dir, "b"))); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"a":      "look for a loop",
		"x/y":    "no such file",
		".":      "not a regular file",
		"a/deep": "too many levels",
	} {
		err := WriteFile(dir+"/"+path, []byte("x"), 0o600)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("WriteFile(%s) = %v, want %q", path, err, want)
		}
	}
	wantOnly(t, dir, "a", "b")
}

// What a crash left behind, whatever its mode and size, is taken over.
func TestWriteFileTakesOverLeftover(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, mode := range []fs.FileMode{0o644, 0o400, 0} {
		if err := os.WriteFile(tempName(path), []byte("half of a much longer content"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(tempName(path), mode); err != nil {
			t.Fatal(err)
		}
		write(t, path, "whole", 0o640)
		wantContent(t, path, "whole")
		wantOnly(t, dir, "f")
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "x", 0o600)
	for _, p := range []string{path, path, filepath.Join(dir, "no/such/dir")} {
		if err := Remove(p); err != nil {
			t.Errorf("Remove(%s) = %v", p, err)
		}
	}
	wantOnly(t, dir)
	write(t, path, "x", 0o600)
	if err := Remove(dir); err == nil {
		t.Error("Remove of a directory that holds something succeeded")
	}
	wantContent(t, path, "x")
}

func TestSymlink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "current")
	if err := os.Symlink("leftover of a crash", tempName(path)); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"one", "one", "/two", "three"} {
		if err := Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(path); err != nil || got != target {
			t.Errorf("link leads to %q, %v; want %q", got, err, target)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Symlink("x", filepath.Join(dir, "d")); err == nil {
		t.Error("Symlink over a directory succeeded")
	}
	wantOnly(t, dir, "current", "d")
}

func TestSync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := Sync(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	write(t, path, "x", 0o400)
	if err := Sync(path); err != nil {
		t.Error(err)
	}
	wantContent(t, path, "x")
}

// Nothing is half done for want of descriptors, however many there are left.
func TestWriteFileWithoutDescriptors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "old", 0o600)
	var was syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	defer func() { must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)) }()
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: was.Max}))
	written := 0
	for left := range 6 {
		free := useUp(t, left)
		err := WriteFile(path, []byte("new"), 0o600)
		free()
		content, readErr := os.ReadFile(path)
		must(t, readErr)
		switch {
		case err == nil:
			written++
			write(t, path, "old", 0o600)
		case !errors.Is(err, syscall.EMFILE) || string(content) != "old":
			t.Errorf("%d descriptors left: %v, and the file holds %q", left, err, content)
		}
	}
	if written == 0 || written == 6 {
		t.Errorf("written %d times out of 6: the limit was never met, or always", written)
	}
}

// useUp takes all descriptors but some.
func useUp(t *testing.T, left int) (free func()) {
	t.Helper()
	var taken []*os.File
	for {
		f, err := os.Open("/dev/null")
		if errors.Is(err, syscall.EMFILE) {
			break
		}
		must(t, err)
		taken = append(taken, f)
	}
	for _, f := range taken[:left] {
		must(t, f.Close())
	}
	return func() {
		for _, f := range taken[left:] {
			must(t, f.Close())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
