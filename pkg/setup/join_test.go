package setup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/pkg/postgres"
)

// aJoin is one that was cut off when it had its material, and its data directory.
func aJoin(t *testing.T) (s *Setup, data string) {
	t.Helper()
	s, data = quiet(filepath.Join(t.TempDir(), "mc")), filepath.Join(t.TempDir(), "main")
	ok(t, os.Mkdir(s.Dir, 0o700))
	s.state = state{Kind: Second, Plan: Plan{Name: "server2", DataDirectory: data}, Material: &Material{SystemID: 1}}
	ok(t, s.save())
	return s, data
}

// Between two calls a package may have made a cluster where the copy shall come.
func TestAnotherClusterIsNoCopy(t *testing.T) {
	s, data := aJoin(t)
	ok(t, os.Mkdir(data, 0o700))
	ok(t, os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("15\n"), 0o600))
	err := quiet(s.Dir).Join(t.Context(), Token{}, Plan{})
	if !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), "empty it (pg_dropcluster") {
		t.Errorf("the same command again: %v", err)
	}
	if err := s.copyData(t.Context()); err == nil {
		t.Error("it has joined without a copy")
	}
}

// The copy that an earlier call has put in its place is of the first server's cluster.
func TestTheCopyIsToldByItsCluster(t *testing.T) {
	s, data := aJoin(t)
	if os.Getenv("PG_BIN") == "" || os.Geteuid() == 0 {
		t.Fatal("PG_BIN must name PostgreSQL's programs, which do not run as root: use make test")
	}
	ok(t, exec.Command(filepath.Join(os.Getenv("PG_BIN"), "initdb"), "-D", data, "-A", "trust", "--no-sync").Run())
	control, err := (&postgres.Instance{Data: data}).Control()
	ok(t, err)
	for _, c := range []struct {
		copying, same bool
	}{{true, true}, {true, false}, {false, true}} {
		s.state.Copying, s.state.Material.SystemID = c.copying, 1
		if c.same {
			s.state.Material.SystemID = control.SystemID
		}
		if err := s.copyData(t.Context()); errors.Is(err, ErrNotEmpty) == (c.copying && c.same) || err == nil != (c.copying && c.same) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestADirectoryThatIsNotFinished(t *testing.T) {
	s, _ := aJoin(t)
	if !Unfinished(s.Dir) {
		t.Error("a join that was cut off is not told")
	}
	ok(t, s.finish())
	if Unfinished(s.Dir) || Unfinished(t.TempDir()) || Unfinished(filepath.Join(s.Dir, "tls")) {
		t.Error("one that is finished, or was never begun, counts as unfinished")
	}
}
