package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestOneWorksOnADataDirectory(t *testing.T) {
	in := &Instance{Data: filepath.Join(t.TempDir(), "main")}
	file := filepath.Join(filepath.Dir(in.Data), ".main.mcctl-lock")
	ok(t, os.Mkdir(in.Data, 0o700))
	ok(t, in.Claimed())
	if _, err := os.Lstat(file); err == nil {
		t.Error("a look has made the lock")
	}
	for _, c := range []struct {
		by   Holder
		want string
	}{
		{Holder{Dir: "/etc/mcctl/of an order"}, "another supervisor, of /etc/mcctl/of an order, works on " + in.Data},
		{Holder{Dir: "/etc/mcctl/b", Init: true}, "mcctl init, of /etc/mcctl/b, works on " + in.Data},
	} {
		release, err := in.Claim(c.by)
		ok(t, err)
		_, again := in.Claim(Holder{Dir: "/etc/mcctl/other"})
		for _, err := range []error{again, in.Claimed()} {
			var claimed *ClaimedError
			if !errors.As(err, &claimed) || claimed.Dir != c.by.Dir || claimed.PID != os.Getpid() || claimed.Init != c.by.Init || err.Error() != c.want {
				t.Errorf("%+v: %v", claimed, err)
			}
		}
		release()
		ok(t, in.Claimed())
	}
}

// By another name it is the same one.
func TestADataDirectoryByItsLink(t *testing.T) {
	in := &Instance{Data: filepath.Join(t.TempDir(), "main")}
	ok(t, os.Mkdir(in.Data, 0o700))
	link := filepath.Join(t.TempDir(), "alias")
	ok(t, os.Symlink(in.Data, link))
	release, err := in.Claim(Holder{Dir: "/a"})
	ok(t, err)
	defer release()
	if err := (&Instance{Data: link}).Claimed(); err == nil || err.Error() != "another supervisor, of /a, works on "+link {
		t.Error(err)
	}
}

// Where nothing can be made beside it, and where there is nothing at all.
func TestADataDirectoryThatIsLockedItself(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Fatal("root may write everywhere: use make test")
	}
	in := &Instance{Data: filepath.Join(t.TempDir(), "main")}
	ok(t, os.Mkdir(in.Data, 0o700))
	ok(t, os.Chmod(filepath.Dir(in.Data), 0o500))
	t.Cleanup(func() { ok(t, os.Chmod(filepath.Dir(in.Data), 0o700)) })
	release, err := in.Claim(Holder{Dir: "/a"})
	ok(t, err)
	if err := in.Claimed(); fmt.Sprint(err) != "another supervisor works on "+in.Data {
		t.Error(err)
	}
	release()
	ok(t, in.Claimed())
	none := &Instance{Data: filepath.Join(filepath.Dir(in.Data), "none")}
	ok(t, none.Claimed())
	release, err = none.Claim(Holder{Dir: "/a"})
	ok(t, err)
	release()
}

func TestWhatAHolderHasWritten(t *testing.T) {
	for text, want := range map[string]Holder{
		"":                       {}, // the disk was full
		"/a\n":                   {Dir: "/a"},
		"/a\n4711\nmcctl init\n": {Dir: "/a", PID: 4711, Init: true},
		"/a\n4711\n\n":           {Dir: "/a", PID: 4711},
	} {
		if got := holderOf(text); got != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
