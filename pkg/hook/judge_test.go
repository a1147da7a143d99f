package hook

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	inOpen := file("open/command", 0o700)
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(inOpen, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"/bin/true", ""},
		{file("fine", 0o700), ""},
		{file("for all to run", 0o755), ""},
		{filepath.Join(dir, "none"), "none cannot be found: no such file or directory"},
		{dir, "is not a file; name a program or a script, without arguments"},
		{file("group", 0o770), "group has mode 0770 and can be written by others; run: chmod go-w " + dir + "/group"},
		{file("others", 0o702), "has mode 0702 and can be written by others"},
		{file("text", 0o600), "text cannot be executed (mode 0600); run: chmod u+x"},
		{inOpen, "others can exchange it, since directory " + open + " has mode 0777; run: chmod go-w " + open},
		{link, "others can exchange it"},
	} {
		err := Judge(c.path)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
}

// Whoever can exchange a link on the way to a command names another program by it, wherever
// the one lies that it names now.
func TestJudgeGoesTheWholeWay(t *testing.T) {
	dir := t.TempDir()
	below := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"open", "group", "sticky", "fine", "fine/below"} {
		if err := os.Mkdir(below(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(below("sticky/file"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"open/link": "/bin/true", "group/link": "/bin/true", "sticky/link": "/bin/true",
		"open/directory": below("fine"), "fine/chain": "../group/link", "fine/up": "below/../../sticky/link",
		"fine/round": "round", "fine/true": "/bin/true",
	} {
		if err := os.Symlink(target, below(name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"open": 0o777, "group": 0o770, "sticky": os.ModeSticky | 0o777} {
		if err := os.Chmod(below(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(below("fine"))
	for path, want := range map[string]string{
		below("fine/true"): "", below("fine/up"): "", below("sticky/link"): "", below("sticky/file"): "", "true": "", "./up": "",
		below("open/link"):           "others can exchange it, since directory " + below("open") + " has mode 0777; run: chmod go-w " + below("open"),
		below("open/directory/true"): "since directory " + below("open") + " has mode 0777",
		below("group/link"):          "since directory " + below("group") + " has mode 0770; run: chmod go-w " + below("group"),
		below("fine/chain"):          "since directory " + below("group"),
		"../open/link":               "since directory " + below("open"),
		below("fine/round"):          "cannot be found",
	} {
		err := Judge(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// The owner of a directory can open it, and that of a file in a sticky one exchange it.
func TestJudgeLooksAtTheOwners(t *testing.T) {
	us := os.Geteuid()
	if us == 0 {
		t.Fatal("root is not measured by the owner: use make test")
	}
	sticky, dir := t.TempDir(), t.TempDir()
	if err := os.Chmod(sticky, os.ModeSticky|0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir  string
		euid int
		want string
	}{
		{dir, us, ""},
		{sticky, us, ""},
		{"/tmp", us, ""},
		{dir, us + 1, fmt.Sprintf("user %d can exchange it, since directory %s belongs to that user; move it to a directory of root's or of user %d, who runs this", us, dir, us+1)},
		{"/tmp", us + 1, fmt.Sprintf("user %d can exchange it, since %s in directory /tmp belongs to that user", us, dir)},
	} {
		err := judgeDirectory(c.dir, dir, c.euid)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s for %d: %v, want %q", c.dir, c.euid, err, c.want)
		}
	}
}

// The file is looked at again before it runs.
func TestJudgedAgainBeforeTheRun(t *testing.T) {
	cmd := script(t, "exit 0")
	if err := os.Chmod(cmd.Path, 0o777); err != nil {
		t.Fatal(err)
	}
	out, _ := run(t, cmd)
	if out.OK() || out.Exit != -1 || !strings.Contains(out.String(), "could not be started") || !strings.Contains(out.String(), "can be written by others") {
		t.Errorf("%s: %+v", out, out)
	}
	cmd.Path = filepath.Join(t.TempDir(), "not a program")
	if err := os.WriteFile(cmd.Path, []byte{0x7f, 'E', 'L', 'F', 0}, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, _ := run(t, cmd); out.OK() || out.Err == nil {
		t.Errorf("%s: %+v", out, out)
	}
}
