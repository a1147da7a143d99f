package conffiles

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcctl/pkg/pgconf"
)

const name = "synchronous_standby_names"

// site is a main file with an included one that holds the managed line.
func site(t *testing.T) (roots pgconf.Roots, main, included string) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Fatal("root may write everywhere: run the tests with make test")
	}
	dir := t.TempDir()
	main, included = filepath.Join(dir, "etc", "postgresql.conf"), filepath.Join(dir, "etc", "conf.d", "repl.conf")
	ok(t, os.MkdirAll(filepath.Dir(included), 0o700))
	ok(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
	ok(t, os.WriteFile(main, []byte(name+" = 'old'\r\ninclude_dir 'conf.d'\r\nport = 1"), 0o640))
	ok(t, os.WriteFile(included, []byte("\n\t"+name+"\t'server2'\t# ours"), 0o604))
	return Roots(main, filepath.Join(dir, "data"), 15), main, included
}

func edited(t *testing.T, roots pgconf.Roots, edit func(*tree)) (*tree, error) {
	t.Helper()
	tr, err := Read(roots)
	ok(t, err)
	edit(tr)
	return tr, Write(tr)
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	return string(b)
}

func out(t *tree)  { t.CommentOut(name) }
func back(t *tree) { t.Set(name, "server2") }

// The line that counts is edited where it stands; after out and in every byte of that
// file is there again, and of the other file after the first time.
func TestWriteToAndFro(t *testing.T) {
	roots, main, included := site(t)
	ok(t, os.Rename(included, included+".real"))
	ok(t, os.Symlink("repl.conf.real", included))
	toAndFro(t, roots, main, included)
}

// The same where the link leads to another file system.
func TestWriteOnAnotherFileSystem(t *testing.T) {
	roots, main, included := site(t)
	far, err := os.MkdirTemp("/dev/shm", "mcconf")
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(far) })
	var here, there syscall.Stat_t
	ok(t, syscall.Stat(included, &here))
	ok(t, syscall.Stat(far, &there))
	if here.Dev == there.Dev {
		t.Fatalf("%s and %s are on one file system: let TMPDIR name a directory on a disk", included, far)
	}
	real := filepath.Join(far, "repl.conf")
	ok(t, os.WriteFile(real, []byte(content(t, included)), 0o600))
	ok(t, os.Chmod(real, 0o604))
	ok(t, os.Remove(included))
	ok(t, os.Symlink(real, included))
	toAndFro(t, roots, main, included)
	if left, err := os.ReadDir(far); err != nil || len(left) != 1 {
		t.Errorf("left there: %v, %v", left, err)
	}
}

// toAndFro comments the line of an included file out and in; that file is a link.
func toAndFro(t *testing.T, roots pgconf.Roots, main, included string) {
	t.Helper()
	was := content(t, included)
	for range 5 {
		_, err := edited(t, roots, out)
		ok(t, err)
		if got := content(t, included); got != strings.Replace(was, name, "#"+name, 1) {
			t.Errorf("out: %q", got)
		}
		_, err = edited(t, roots, back)
		ok(t, err)
		if got := content(t, included); got != was {
			t.Errorf("back: %q, was %q", got, was)
		}
		if got, want := content(t, main), "#"+name+" = 'old'\r\ninclude_dir 'conf.d'\r\nport = 1"; got != want {
			t.Errorf("main file: %q, want %q", got, want)
		}
	}
	info, err := os.Lstat(included)
	ok(t, err)
	target, err := os.Stat(included)
	ok(t, err)
	if info.Mode().Type() != os.ModeSymlink || target.Mode().Perm() != 0o604 {
		t.Errorf("the link is %s, its file %s", info.Mode(), target.Mode())
	}
}

func TestWhatMayNotBeWrittenIsToldAndNothingChanges(t *testing.T) {
	for _, c := range []struct {
		why   string
		lock  func(t *testing.T, included string)
		words []string
	}{
		{"read-only", func(t *testing.T, p string) { ok(t, os.Chmod(p, 0o444)) }, []string{"it is read-only (mode 0444): chmod u+w it"}},
		{"in a directory that is", func(t *testing.T, p string) {
			ok(t, os.Chmod(filepath.Dir(p), 0o500))
			t.Cleanup(func() { _ = os.Chmod(filepath.Dir(p), 0o700) })
		}, []string{"its directory", "permission denied"}},
	} {
		roots, main, included := site(t)
		c.lock(t, included)
		was := content(t, main)
		tr, err := Read(roots)
		ok(t, err)
		if tr.Writable(included) || Refusal(included) == "" {
			t.Errorf("%s: it counts as writable", c.why)
		}
		tr.CommentOut(name)
		fails(t, Write(tr), append(c.words, "write "+included+": line 2 has to change")...)
		if content(t, main) != was {
			t.Errorf("%s: the main file was written nevertheless", c.why)
		}
	}
}

func TestAFileOfRootIsNotOurs(t *testing.T) {
	_, _, included := site(t)
	ok(t, os.Remove(included))
	ok(t, os.Symlink("/etc/passwd", included))
	if why := Refusal(included); !strings.Contains(why, "it belongs to user 0 and mcctl runs as user") || !strings.Contains(why, "chown") {
		t.Errorf("a link to a file of root: %q", why)
	}
}

// The kernel has the last word on which group a new file can have: the same one.
func TestAGroupThatIsNotOursIsNotKept(t *testing.T) {
	groups, err := os.Getgroups()
	ok(t, err)
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	ok(t, os.WriteFile(file, nil, 0o600))
	for _, group := range append(groups, os.Getegid(), 0, 1<<20) {
		if may, err := mayGive(dir, uint32(group)), os.Chown(file, -1, group); may != (err == nil) {
			t.Errorf("group %d: said %t, and chown says %v", group, may, err)
		}
	}
	if mayGive(dir, 1<<20) && os.Geteuid() != 0 {
		t.Error("any group may be given")
	}
}

// A line that was commented out in a file that mcctl may not write is not the place
// to come back to.
func TestALockedFileIsNotComeBackTo(t *testing.T) {
	roots, main, included := site(t)
	ok(t, os.WriteFile(included, []byte("#"+name+" = 'server2'\n"), 0o600))
	ok(t, os.Chmod(included, 0o400))
	_, err := edited(t, roots, out)
	ok(t, err)
	_, err = edited(t, roots, back)
	ok(t, err)
	if got := content(t, main); !strings.HasPrefix(got, name+" = 'server2'\r\n") {
		t.Errorf("main file: %q", got)
	}
}

func TestAnEditorThatSavesMeanwhileLosesNothing(t *testing.T) {
	roots, _, included := site(t)
	tr, err := Read(roots)
	ok(t, err)
	theirs := content(t, included) + "\nwork_mem = 1MB\n"
	ok(t, os.WriteFile(included, []byte(theirs), 0o600))
	tr.CommentOut(name)
	if err := Write(tr); !errors.Is(err, ErrChanged) {
		t.Errorf("written over an editor's text: %v", err)
	}
	if content(t, included) != theirs {
		t.Error("the editor's text is gone")
	}
}

const fullVariable = "MCCTL_TEST_FULL_DISK"

// On a full disk the old file stays, and nothing is left beside it. The disk is a small
// one in memory, mounted where only a process of its own sees it.
func TestAFullDiskLeavesTheOldFile(t *testing.T) {
	if dir := os.Getenv(fullVariable); dir != "" {
		onFullDisk(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestAFullDiskLeavesTheOldFile$", "-test.v")
	cmd.Env = append(os.Environ(), fullVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in a mount namespace of its own (sysctl kernel.unprivileged_userns_clone=1 allows them): %v\n%s", err, text)
	}
}

func onFullDisk(t *testing.T, dir string) {
	ok(t, syscall.Mount("none", dir, "tmpfs", 0, "size=64k"))
	main := filepath.Join(dir, "postgresql.conf")
	was := name + " = 'server2'\n" + strings.Repeat("# filling\n", 1000)
	ok(t, os.WriteFile(main, []byte(was), 0o600))
	filler := filepath.Join(dir, "filler")
	_ = os.WriteFile(filler, make([]byte, 1<<20), 0o600) // until it is full
	roots := Roots(main, dir, 15)
	tr, err := edited(t, roots, out)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("written to a full disk: %v", err)
	}
	entries, err := os.ReadDir(dir)
	ok(t, err)
	if content(t, main) != was || len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
	ok(t, os.Remove(filler))
	ok(t, Write(tr))
	if content(t, main) != "#"+was {
		t.Error("with room again it was not written")
	}
}
