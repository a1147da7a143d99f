package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	for _, s.state.Copying = range []bool{false, true} { // with a copy of ours beside, too
		if err := s.copyData(t.Context()); err == nil {
			t.Errorf("copying %t: it has joined without a copy", s.state.Copying)
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
