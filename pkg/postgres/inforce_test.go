package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Which mistakes make PostgreSQL ignore a whole reload, and which only their own line.
func TestFactOneBadLineSpoilsAReload(t *testing.T) {
	in := newServer(t)
	conf := filepath.Join(in.Data, "postgresql.conf")
	pid := start(t, in)
	s := connect(t, in)
	base, err := os.ReadFile(conf)
	ok(t, err)
	bad := strings.Count(string(base), "\n") + 1
	for i, c := range []struct {
		line    string
		refused bool
		says    string // "" for no fault
	}{
		{"my.extension = 1", false, ""},
		{"work_mem = 1 2", true, "syntax error"},
		{"nosuch = 1", true, "unrecognized configuration parameter"},
		{"include 'none'", true, "could not open file"},
		{"include 'postgresql.conf'", true, "configuration file recursion"},
		{"work_mem = 'x'", false, "work_mem: setting could not be applied"},
		{"synchronous_standby_names = 'a b'", false, "synchronous_standby_names: setting could not be applied"},
		{"max_connections = 77", false, "max_connections waits for a restart of PostgreSQL, or is invalid"},
	} {
		slot := fmt.Sprintf("slot%d", i)
		ok(t, os.WriteFile(conf, []byte(string(base)+c.line+"\nprimary_slot_name = '"+slot+"'\n"), 0o600))
		refused, faults, err := s.FileFaults(within(t))
		ok(t, err)
		if refused != c.refused || (len(faults) == 1) != (c.says != "") {
			t.Errorf("%s: refused %t, %v", c.line, refused, faults)
		}
		if len(faults) == 1 && (faults[0].File != conf || faults[0].Line != bad || !strings.Contains(faults[0].String(), c.says)) {
			t.Errorf("%s: told as %q", c.line, faults[0])
		}
		// And so it is: the next line is in force after a reload, or is not.
		ok(t, in.Reload(pid))
		inForce := func() bool { return query(t, in, "select current_setting('primary_slot_name')") == slot }
		if !c.refused {
			eventually(t, "the reload of "+c.line+" is in force", inForce)
			continue
		}
		ok(t, in.Reload(pid)) // processed after the first one
		query(t, in, "select pg_sleep(0.05)")
		if inForce() {
			t.Errorf("%s: reloaded nevertheless", c.line)
		}
	}
}

func TestInForceTellsWhereFrom(t *testing.T) {
	in := newServer(t)
	ok(t, os.MkdirAll(filepath.Join(in.Data, "conf.d"), 0o700))
	included := filepath.Join(in.Data, "conf.d", "x.conf")
	ok(t, os.WriteFile(included, []byte("\nsynchronous_standby_names = 'file'\nprimary_slot_name = 'file'\n"), 0o600))
	set(t, in, "include_dir 'conf.d'")
	startWith(t, in, StartOptions{Settings: map[string]string{"primary_slot_name": "argument"}})
	s := connect(t, in)
	names := []string{"synchronous_standby_names", "primary_slot_name", "primary_conninfo", "no_such_setting"}
	told := func() (text string) {
		all, err := s.InForce(within(t), names)
		ok(t, err)
		for _, f := range all {
			text += fmt.Sprintf("%s=%s by %s fixed %t pending %t\n", f.Name, f.Value, f.Place(), f.Fixed(), f.PendingRestart)
		}
		return text
	}
	want := "primary_conninfo= by the default fixed false pending false\n" +
		"primary_slot_name=argument by the command line fixed true pending false\n" +
		"synchronous_standby_names=file by " + included + ":2 fixed false pending false\n"
	if got := told(); got != want {
		t.Errorf("in force\n%s\nwant\n%s", got, want)
	}
	set(t, in, "max_connections = 77")
	eventually(t, "max_connections waits for a restart", func() bool {
		return strings.Contains(told(), "max_connections=100 by "+filepath.Join(in.Data, "postgresql.conf"))
	})
	if got := told(); !strings.Contains(got, "pending true") {
		t.Errorf("in force\n%s", got)
	}
}

// A data_directory in a config_file elsewhere does not lead to another cluster.
func TestConfigFileElsewhereStartsThisDataDirectory(t *testing.T) {
	in := newServer(t)
	etc := filepath.Join(newDir(t), "postgresql.conf")
	text, err := os.ReadFile(filepath.Join(in.Data, "postgresql.conf"))
	ok(t, err)
	ok(t, os.WriteFile(etc, append(text, "data_directory = '/nowhere'\nhba_file = '"+in.Data+"/pg_hba.conf'\n"...), 0o600))
	ok(t, os.Remove(filepath.Join(in.Data, "postgresql.conf")))
	in.ConfigFile = etc
	start(t, in)
	if got := query(t, in, "select current_setting('data_directory') || ' ' || current_setting('config_file')"); got != in.Data+" "+etc {
		t.Errorf("it runs with %s", got)
	}
}
