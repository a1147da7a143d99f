package setup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mcctl/pkg/postgres"
)

func TestTheLayoutOfACopy(t *testing.T) {
	spaces := []postgres.Tablespace{{OID: "1", Name: "fast", Location: "/a"}, {OID: "2", Name: "slow", Location: "/b=c"}}
	for _, c := range []struct{ given, fast, slow, problem string }{
		{given: "", fast: "/a", slow: "/b=c"},
		{given: "/a=/x/y", fast: "/x/y", slow: "/b=c"},
		{given: "/a/=/x=y/", fast: "/x=y", slow: "/b=c"},
		{given: "/a", problem: `use --tablespace-mapping "/a": write OLD=NEW, two absolute directories`},
		{given: "/a=x", problem: `use --tablespace-mapping "/a=x": write OLD=NEW, two absolute directories`},
		{given: "/a=/x,/a=/y", problem: "use --tablespace-mapping: /a is mapped twice"},
		{given: "/c=/x", problem: "use --tablespace-mapping /c=/x: the first server has no tablespace in /c; it has /a, /b=c"},
	} {
		l, err := Plan{WAL: "/w", Tablespaces: c.given}.layout(spaces)
		switch {
		case c.problem != "" && (err == nil || err.Error() != c.problem):
			t.Errorf("%q: %v, want %s", c.given, err, c.problem)
		case c.problem == "" && (err != nil || l.WAL != "/w" || l.Tablespaces["1"] != c.fast || l.Tablespaces["2"] != c.slow):
			t.Errorf("%q: %+v, %v", c.given, l, err)
		}
	}
}

// What is there is nobody's to delete.
func TestDirectoriesOfACopyMustBeFree(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.MkdirAll(filepath.Join(dir, "wal", "theirs"), 0o700))
	ok(t, os.MkdirAll(filepath.Join(dir, "space", "theirs"), 0o700))
	ok(t, os.Mkdir(filepath.Join(dir, "free"), 0o700))
	for _, p := range []Plan{
		{WAL: filepath.Join(dir, "wal")},
		{Tablespaces: "/a=" + filepath.Join(dir, "space")},
	} {
		if err := p.mayLieElsewhere(); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if err := (Plan{WAL: filepath.Join(dir, "free"), Tablespaces: "/a=" + filepath.Join(dir, "not", "yet")}).mayLieElsewhere(); err != nil {
		t.Error(err)
	}
	spaces := []postgres.Tablespace{{OID: "1", Name: "fast", Location: filepath.Join(dir, "space")}}
	l, err := Plan{}.layout(spaces)
	ok(t, err)
	if err := areFree(spaces, l); !errors.Is(err, ErrNotEmpty) || !strings.HasSuffix(err.Error(), "; or say where it shall be on this host: --tablespace-mapping "+spaces[0].Location+"=DIR") {
		t.Error(err)
	}
}

// The layout may be said again until a copy goes by it.
func TestTheLayoutMayBeReconsidered(t *testing.T) {
	p := Plan{Tablespaces: "/a=/x"}
	if refused := p.reconsider(Plan{WAL: "/w", Tablespaces: "/a=/y"}, true); refused != nil || p.WAL != "/w" || p.Tablespaces != "/a=/y" {
		t.Errorf("refused %v, and the plan is %+v", refused, p)
	}
	p = Plan{Tablespaces: "/a=/x"}
	again := Plan{WAL: "/w", Tablespaces: "/a=/y"}
	if refused := append(p.reconsider(again, false), p.merge(again)...); !slices.Equal(refused, []string{"--waldir", "--tablespace-mapping"}) {
		t.Errorf("refused are %v", refused)
	}
	p = Plan{Tablespaces: "/a=/x"}
	if refused := p.reconsider(Plan{Tablespaces: "/a=/x"}, false); refused != nil {
		t.Errorf("refused are %v", refused)
	}
}

// By these names mcctl makes copies and puts data aside, and deletes it unasked: what is
// there before is somebody's, an old cluster that was moved out of the way perhaps.
func TestTheNamesBesideMustBeFree(t *testing.T) {
	for _, ending := range []string{".new", ".part", ".old", ".void"} {
		dir := filepath.Join(t.TempDir(), "main")
		ok(t, os.Mkdir(dir+ending, 0o700))
		for what, err := range map[string]error{
			"joins": Plan{DataDirectory: dir}.mayJoin(t.Context(), Token{}), "puts pg_wal there": Plan{WAL: dir}.mayLieElsewhere(),
			"makes a new cluster": Plan{DataDirectory: dir}.feasible(t.Context()),
		} {
			if err == nil || !strings.Contains(err.Error(), dir+ending+" is there") {
				t.Errorf("who %s beside %s: %v", what, ending, err)
			}
		}
	}
}

// A copy is renamed to the name that was said: where that is a link it would not be what
// the link led to.
func TestASymbolicLinkIsNoFreeDirectory(t *testing.T) {
	dir := t.TempDir()
	leads, dangles := filepath.Join(dir, "leads"), filepath.Join(dir, "dangles")
	ok(t, os.Symlink(t.TempDir(), leads))
	ok(t, os.Symlink(filepath.Join(dir, "nowhere"), dangles))
	for _, link := range []string{leads, dangles} {
		for _, err := range []error{
			Plan{DataDirectory: link}.mayJoin(t.Context(), Token{}), Plan{DataDirectory: link}.feasible(t.Context()),
			Plan{WAL: link}.mayLieElsewhere(), Plan{Tablespaces: "/a=" + link}.mayLieElsewhere(),
			areFree([]postgres.Tablespace{{OID: "1"}}, postgres.Layout{Tablespaces: map[string]string{"1": link}}),
		} {
			if err == nil || !strings.Contains(err.Error(), link+": it is a symbolic link; name the directory that it leads to") {
				t.Errorf("%s: %v", link, err)
			}
		}
	}
}
