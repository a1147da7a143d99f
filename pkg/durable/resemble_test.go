package durable

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// another is a group of this user that its new files do not get, if it has one.
func another(t *testing.T) int {
	t.Helper()
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(groups, func(g int) bool { return g != os.Getegid() }); i >= 0 {
		return groups[i]
	}
	return os.Getegid()
}

func groupOf(t *testing.T, path string) (int, fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Gid), info.Mode()
}

// resembling makes a copy without content.
func resembling(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if err == nil && info.IsDir() {
		err = os.Mkdir(to, 0o700)
	} else if err == nil {
		err = os.WriteFile(to, nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	made, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	if err := Resemble(made, from); err != nil {
		t.Error(err)
	}
}

func TestACopyHasGroupModeListAndAttributes(t *testing.T) {
	dir, group := t.TempDir(), another(t)
	for name, mode := range map[string]fs.FileMode{"key": 0o400, "conf": 0o664, "conf.d": fs.ModeDir | fs.ModeSetgid | 0o775, "closed.d": fs.ModeDir | 0o500} {
		path, want := filepath.Join(dir, name), mode
		if mode.IsDir() {
			want |= 0o700 // it can be removed again
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		} else {
			write(t, path, "", 0o600)
		}
		if err := syscall.Setxattr(path, "user.note", []byte("ours"), 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, -1, group); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		resembling(t, path, path+".copy")
		if g, m := groupOf(t, path+".copy"); g != group || m != want {
			t.Errorf("%s: group %d, mode %s; want %d, %s", name, g, m, group, want)
		}
		if got, err := attribute(path+".copy", "user.note"); err != nil || string(got) != "ours" {
			t.Errorf("%s: attribute %q, %v", name, got, err)
		}
	}
	path := filepath.Join(dir, "listed")
	write(t, path, "", 0o600)
	if err := syscall.Setxattr(path, accessList, list(), 0); err != nil {
		t.Fatal(err)
	}
	resembling(t, path, path+".copy")
	if got, err := attribute(path+".copy", accessList); err != nil || string(got) != string(list()) {
		t.Errorf("access list %q, %v", got, err)
	}
}

// A copy of a file of another group may be read by this one no more than by everybody.
func TestACopyThatCannotHaveTheGroupGivesItsOwnNoMore(t *testing.T) {
	for _, c := range []struct{ mode, want fs.FileMode }{{0o640, 0o600}, {0o664, 0o644}, {0o600, 0o600}, {fs.ModeSetgid | 0o775, 0o755}} {
		if got := forAnotherGroup(c.mode); got != c.want {
			t.Errorf("%s becomes %s, want %s", c.mode, got, c.want)
		}
	}
	copied := filepath.Join(t.TempDir(), "copy")
	resembling(t, "/etc/passwd", copied)
	if g, m := groupOf(t, copied); g != os.Getegid() || m != 0o644 {
		t.Errorf("group %d, mode %s", g, m)
	}
}
