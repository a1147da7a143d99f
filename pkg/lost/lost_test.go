package lost

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/pair"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asFull, when set, makes the test binary a process that tries to save on a file system
// of its own.
const asFull = "LOST_TEST_FULL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asFull); dir != "" {
		os.Exit(saveOnSmall(dir))
	}
	os.Exit(m.Run())
}

// saveOnSmall mounts one megabyte there and prints what becomes of a file of two, with
// and without a look at the room.
func saveOnSmall(dir string) int {
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		println("mount:", err.Error())
		return 1
	}
	s := Store{Dir: filepath.Join(dir, "lost")}
	f := Files{Paths: []string{os.Getenv("LOST_TEST_FILE")}, Bytes: 2 << 20, Most: 1 << 30}
	err := s.Room(f)
	println("room:", err != nil && strings.Contains(err.Error(), "must stay free"))
	_, err = s.Save(report("a", 1, time.Unix(1, 0)), f)
	println("save:", errors.Is(err, syscall.ENOSPC))
	left, _ := os.ReadDir(s.Dir)
	println("left:", len(left))
	_, err = s.Save(report("a", 1, time.Unix(1, 0)), Files{})
	println("without:", err == nil)
	return 0
}

func report(id string, at pair.LSN, made time.Time) Report {
	return Report{ID: id, Made: made, Server: "server1", Kept: "server2", Timeline: 1, From: at, Until: at + 100, Known: true, Complete: true}
}

func segment(t *testing.T, name string, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	ok(t, os.WriteFile(path, bytes.Repeat([]byte("w"), size), 0o600))
	return path
}

func TestOnAFullFileSystemNothingIsLeftBehind(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asFull+"="+t.TempDir(), "LOST_TEST_FILE="+segment(t, "s", 2<<20))
	// Names of its own: so an ordinary user may mount.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: the test needs user namespaces (sysctl user.max_user_namespaces)\n%s", err, out)
	}
	if want := "room: true\nsave: true\nleft: 0\nwithout: true\n"; string(out) != want {
		t.Errorf("it told\n%swant\n%s", out, want)
	}
}

func TestAReportIsWholeOrNotThere(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "lost"), Waldump: "/bin/pg_waldump"}
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Errorf("nothing yet: %v, %v", all, err)
	}
	path := segment(t, "000000010000000000000005", 100)
	r := report("a", 0x5000028, time.Unix(1, 0))
	r.Segments = []string{filepath.Base(path)}
	ok(t, os.MkdirAll(filepath.Join(s.Dir, "b"+part), 0o700)) // of one that was killed
	saved, err := s.Save(r, Files{Paths: []string{path}})
	ok(t, err)
	again, found := s.Of(1, 0x5000028)
	if !found || again.ID != "a" || again.Directory != saved.Directory || again.Commands[0] != "/bin/pg_waldump --path="+saved.Directory+" --timeline=1 --start=0/5000028" {
		t.Errorf("found %v: %+v", found, again)
	}
	if _, found := s.Of(2, 0x5000028); found {
		t.Error("another timeline is another divergence")
	}
	left, err := os.ReadDir(s.Dir)
	if err != nil || len(left) != 1 {
		t.Errorf("there is %v, %v", left, err)
	}
	for _, path := range []string{saved.Directory, filepath.Join(saved.Directory, r.Segments[0])} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	for _, id := range []string{"", "..", "../x", "b" + part, "no"} {
		if _, err := s.Get(id); !errors.Is(err, ErrNoReport) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// The command is there to be copied into a shell, wherever the management directory lies.
func TestTheCommandIsReadByAShellAsItIsMeant(t *testing.T) {
	for _, name := range []string{"plain", "a blank", "it's $HOME", "x;y`z"} {
		s := Store{Dir: filepath.Join(t.TempDir(), name), Waldump: "/opt/" + name + "/pg_waldump"}
		r := report("a", 0x5000028, time.Unix(1, 0))
		r.Segments = []string{"000000010000000000000005"}
		saved, err := s.Save(r, Files{})
		ok(t, err)
		words, err := exec.Command("sh", "-c", "printf '%s\n' "+saved.Commands[0]).Output()
		if want := s.Waldump + "\n--path=" + saved.Directory + "\n--timeline=1\n--start=0/5000028\n"; err != nil || string(words) != want {
			t.Errorf("%s is read as\n%s%v", saved.Commands[0], words, err)
		}
	}
}

func TestPrune(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "lost")}
	for i, id := range []string{"a", "b", "c", "d"} {
		path := segment(t, "000000010000000000000005", 1000)
		r := report(id, pair.LSN(i+1), time.Unix(int64(i), 0))
		r.Segments = []string{filepath.Base(path)}
		_, err := s.Save(r, Files{Paths: []string{path}})
		ok(t, err)
	}
	ok(t, s.Prune(3, 2000))
	all, err := s.List()
	ok(t, err)
	var kept []string
	for _, r := range all {
		kept = append(kept, r.ID+" "+strings.Join(r.Segments, ""))
	}
	if want := "b |c 000000010000000000000005|d 000000010000000000000005"; strings.Join(kept, "|") != want {
		t.Errorf("kept %q, want %q", kept, want)
	}
	if !strings.Contains(all[0].NotSaved, "lost_wal_max") || saved(all[0]) != 0 {
		t.Errorf("the log of b: %+v", all[0])
	}
	ok(t, s.Prune(3, 1)) // the newest stays whatever its size
	if r, err := s.Get("d"); err != nil || saved(r) != 1000 {
		t.Errorf("the newest: %+v, %v", r, err)
	}
}

func TestSeen(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "lost")}
	for i, id := range []string{"a", "b"} {
		_, err := s.Save(report(id, pair.LSN(i+1), time.Unix(int64(i), 0)), Files{})
		ok(t, err)
	}
	ok(t, s.See("b"))
	if r, found := s.Newest(); !found || r.ID != "a" {
		t.Errorf("%v: %+v", found, r)
	}
	ok(t, s.See("a"))
	if r, found := s.Newest(); found {
		t.Errorf("not seen yet: %+v", r)
	}
}

func TestWhatATransactionWroteTo(t *testing.T) {
	table, index, catalog := Relation{Number: 16384, Name: "db.public.t"}, Relation{Number: 16390, Name: "db.public.t"}, Relation{Number: 1259}
	made := Relation{Tablespace: 1663, Database: 5, Number: 16400, Created: true}
	if got := Of(7, time.Time{}, 1, false, false, []Relation{catalog, table, index, made}).Relations; len(got) != 2 || got[0] != table || got[1].String() != "1663/5/16400 (made here)" {
		t.Errorf("got %v", got)
	}
	if got := Of(7, time.Time{}, 1, false, false, []Relation{catalog}).Relations; len(got) != 1 || got[0].String() != "0/0/1259" {
		t.Errorf("a catalog only: %v", got)
	}
}

// Whoever made a relation has chosen its name; the saved text is shown on a terminal one day.
func TestNamesInTheTextAreLegible(t *testing.T) {
	r := report("a", 1, time.Unix(1, 0))
	r.List = []Transaction{{XID: 7, Relations: []Relation{{Name: "app.public.größe"}, {Name: "app.public.a\x1b[2J\n8"}}}}
	var text strings.Builder
	ok(t, r.Text(&text))
	if want := `  app.public.größe, "app.public.a\x1b[2J\n8"` + "\n"; !strings.Contains(text.String(), want) {
		t.Errorf("want %q in\n%q", want, text.String())
	}
}
