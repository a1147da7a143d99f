package pair

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// Some packagers leave pg_rewind out. A server that crashed as primary then comes back
// by a copy, unasked, and its journal says why.
func TestWithoutARewindProgramAServerComesBackByACopy(t *testing.T) {
	s := newStage(t, lab.Options{BinDir: binWithout(t, "pg_rewind")})
	s.kill(s.lab.Pids().Servers[one].Postmaster)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	s.paired(two)
	log, err := os.ReadFile(filepath.Join(s.lab.Mcdir(one), "log", "mcctl.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{"there is no pg_rewind", "rebuilding"} {
		if !strings.Contains(string(log), said) {
			t.Errorf("the log of server1 does not say %q", said)
		}
	}
	var st wire.Status
	if st, err = s.status(one); err != nil || st.Record.Mode != pair.Paired {
		t.Errorf("server1 tells %+v, %v", st, err)
	}
}

// binWithout is a directory with links to the programs of this major, but for some.
// PostgreSQL follows the links and finds what belongs to it.
func binWithout(t *testing.T, missing ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mcbin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, program := range []string{"initdb", "postgres", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_waldump"} {
		if slices.Contains(missing, program) {
			continue
		}
		if err := os.Symlink(filepath.Join(os.Getenv("PG_BIN"), program), filepath.Join(dir, program)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
