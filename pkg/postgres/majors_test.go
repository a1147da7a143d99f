package postgres

import (
	"errors"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mcctl/pkg/majors"
)

// What majors says of this server's version is asked of the server itself.
func TestFactAbilitiesAreAsTheServerHasThem(t *testing.T) {
	in := newServer(t)
	start(t, in)
	major, err := in.Version(within(t))
	ok(t, err)
	can := majors.Of(major)
	for sql, want := range map[string]bool{
		"select count(*) > 0 from pg_settings where name = 'synchronized_standby_slots'": can.SyncSlots,
		// pg_hba.conf can include files since this view says which one a rule is from.
		"select count(*) > 0 from pg_attribute where attrelid = 'pg_hba_file_rules'::regclass and attname = 'file_name'": can.HBAIncludes,
	} {
		if got := query(t, in, sql) == "true"; got != want {
			t.Errorf("PostgreSQL %d answers %t: %s", major, got, sql)
		}
	}
	if got := query(t, in, "select current_setting('server_version_num')::int / 10000"); got != strconv.Itoa(major) {
		t.Errorf("the server is of %s, its files of %d", got, major)
	}
}

// Tests that need pg_rewind are named TestRewind: test/majors leaves these out where
// there is none.
func TestRewindTakesAConfigFileSinceItIsSaid(t *testing.T) {
	in := newServer(t)
	major, err := in.Version(within(t))
	ok(t, err)
	help, err := exec.Command(in.program("pg_rewind"), "--help").Output()
	ok(t, err)
	if got, want := strings.Contains(string(help), "--config-file"), majors.Of(major).RewindConfigFile; got != want {
		t.Errorf("pg_rewind of %d has --config-file %t, majors says %t", major, got, want)
	}
}

func TestWithoutARewindProgramNothingIsTouched(t *testing.T) {
	in := newServer(t)
	in.Bin = t.TempDir()
	keep := filepath.Join(in.Socket, "keep")
	err := in.Rewind(within(t), Source{}, RewindOptions{KeepDir: keep})
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), "there is no pg_rewind") {
		t.Errorf("without the program: %v", err)
	}
	if exists(keep) {
		t.Error("files were kept for a rewind that never began")
	}
}
