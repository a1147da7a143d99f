package settings

import (
	"io/fs"
	"maps"
	"strings"
	"testing"

	"mcctl/pkg/pgconf"
)

const site = "# ours\nport = 5432\nsynchronous_standby_names = 'server2'\t# keep me\r\nwork_mem = 4MB\n"

// memory is a disk with files by name.
type memory map[string]string

func (m memory) ReadFile(path string) ([]byte, error) {
	text, there := m[path]
	if !there {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(text), nil
}
func (m memory) List(string) ([]string, error) { return nil, nil }
func (m memory) IsDir(string) (bool, error)    { return false, nil }
func (m memory) Writable(string) bool          { return true }

const confFile, autoFile = "/etc/postgresql.conf", "/data/postgresql.auto.conf"

// files are a main file, which may include in.conf, and postgresql.auto.conf.
type files struct{ m memory }

func newFiles(conf, auto string) *files {
	return &files{memory{confFile: conf, autoFile: auto}}
}

func (f *files) tree() *pgconf.Tree {
	return pgconf.Read(f.m, pgconf.Roots{Main: confFile, Auto: autoFile, Major: 17})
}

func (f *files) write(w Wanted) {
	t := f.tree()
	w.Write(t)
	for _, e := range t.Edits() {
		f.m[e.File] = string(e.New)
	}
}

func (f *files) get(name string) (string, bool) {
	o, ok := f.tree().Get(name)
	return o.Value, ok
}

func TestGoingAloneAndBackRestoresEveryByte(t *testing.T) {
	f := newFiles(site, "")
	alone, paired := Wanted{Other: "server2"}, Wanted{Other: "server2", Wait: true}
	if !paired.Hold(f.tree()) || alone.Hold(f.tree()) {
		t.Fatal("the file says paired")
	}
	f.write(alone)
	if got, want := f.m[confFile], strings.Replace(site, "synchronous", "#synchronous", 1); got != want {
		t.Errorf("alone:\n%q\nwant\n%q", got, want)
	}
	if !alone.Hold(f.tree()) || paired.Hold(f.tree()) {
		t.Error("the file says alone")
	}
	f.write(paired)
	if got := f.m[confFile]; got != site {
		t.Errorf("paired again:\n%q\nwant\n%q", got, site)
	}
}

func TestAlterSystemDoesNotOverride(t *testing.T) {
	f := newFiles(site, "synchronous_standby_names = '*'\nwork_mem = '8MB'\n")
	w := Wanted{Other: "server2", Wait: true}
	if w.Hold(f.tree()) {
		t.Error("postgresql.auto.conf overrides the name")
	}
	f.write(w)
	if got := f.m[autoFile]; !w.Hold(f.tree()) || !strings.Contains(got, "work_mem = '8MB'") {
		t.Errorf("postgresql.auto.conf: %q", got)
	}
}

func TestFaultsNameTheLine(t *testing.T) {
	f := newFiles("include 'in.conf'\n#"+SyncNames+" = 'server2'\n", "primary_conninfo = 'password=secret'\n"+SyncNames+" = '*'\n")
	f.m["/etc/in.conf"] = "\n" + SyncNames + " 'evil'\n"
	tell := func(w Wanted) string {
		var told []string
		for _, fault := range w.Faults(f.tree()) {
			told = append(told, fault.String())
		}
		return strings.Join(told, "\n")
	}
	if got, want := tell(Wanted{Other: "server2", Wait: true}), `/data/postgresql.auto.conf:2: ALTER SYSTEM has set synchronous_standby_names to '*', which would win over postgresql.conf
/etc/in.conf:2: synchronous_standby_names says 'evil' and is to be 'server2'`; got != want {
		t.Errorf("told\n%s\nwant\n%s", got, want)
	}
	if got := tell(Wanted{Other: "server2", Wait: true, Upstream: "host=h", Slot: "s"}); strings.Contains(got, "secret") || !strings.Contains(got, "primary_slot_name is not set and is to be 's'") {
		t.Errorf("told\n%s", got)
	}
	alone := Wanted{Other: "server2"}
	if got, want := tell(alone), "/etc/in.conf:2: synchronous_standby_names says 'evil' and is to be out of use"; !strings.Contains(got, want) {
		t.Errorf("told\n%s\nwant\n%s", got, want)
	}
	f.write(alone)
	if !alone.Hold(f.tree()) {
		t.Error("what was written does not hold")
	}
}

// The line that counts is the one that is edited, in whichever file it stands.
func TestTheManagedLineIsWhereTheSiteHasIt(t *testing.T) {
	f := newFiles(SyncNames+" = 'server2' # no longer\ninclude 'in.conf'\nport = 1\n", "")
	f.m["/etc/in.conf"] = SyncNames + "=server2 # ours\n"
	alone, paired := Wanted{Other: "server2"}, Wanted{Other: "server2", Wait: true}
	if !paired.Hold(f.tree()) {
		t.Error("the file says paired")
	}
	f.write(alone)
	detached := maps.Clone(f.m)
	f.write(paired)
	if f.m["/etc/in.conf"] != SyncNames+"=server2 # ours\n" || !strings.HasPrefix(f.m[confFile], "#") {
		t.Errorf("attached: %q", f.m)
	}
	for range 3 {
		f.write(alone)
		if !maps.Equal(f.m, detached) {
			t.Errorf("detached again: %q, first %q", f.m, detached)
		}
		f.write(paired)
	}
}

func TestStandbyHasItsUpstream(t *testing.T) {
	f := newFiles(site, "")
	w := Wanted{Other: "server1", Wait: true, Slots: true, Upstream: "host=h password=x", Slot: Slot("server2")}
	f.write(w)
	for name, want := range map[string]string{SyncNames: "server1", SyncSlots: "mcctl_server1", Conninfo: "host=h password=x", SlotName: "mcctl_server2"} {
		if got, ok := f.get(name); !ok || got != want {
			t.Errorf("%s = %q, %v; want %q", name, got, ok, want)
		}
	}
	if !w.Hold(f.tree()) {
		t.Error("what was written does not hold")
	}
}
