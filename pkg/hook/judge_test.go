package hook

import (
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
		{inOpen, "everybody can exchange it, since directory " + open + " has mode 0777; run: chmod o-w " + open},
		{link, "everybody can exchange it"},
	} {
		err := Judge(c.path)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
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
