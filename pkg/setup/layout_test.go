package setup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
		{given: "/c=/x", problem: "use --tablespace-mapping /c=/x: the first server has no tablespace in /c; it has /a, /b=c; leave the mapping out, or withdraw all by --tablespace-mapping="},
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

// The layout may be said again until a copy goes by it, also that there is none.
func TestTheLayoutMayBeReconsidered(t *testing.T) {
	was := Plan{Tablespaces: "/a=/x"}
	for _, c := range []struct {
		given Plan
		whole bool
		want  Plan
		no    []string
	}{
		{Plan{WAL: "/w", Tablespaces: "/a=/y"}, false, Plan{WAL: "/w", Tablespaces: "/a=/y"}, nil},
		{Plan{WAL: "/w", Tablespaces: "/a=/y"}, true, was, []string{"--waldir", "--tablespace-mapping"}},
		{Plan{Tablespaces: "/a=/x"}, true, was, nil},
		{Plan{}, false, was, nil},
		{Plan{NoWAL: true, NoMapping: true}, false, Plan{}, nil},
		{Plan{NoWAL: true, NoMapping: true}, true, was, []string{"--tablespace-mapping"}},
	} {
		p := was
		if refused := append(p.reconsider(c.given, !c.whole), p.merge(c.given)...); !slices.Equal(refused, c.no) || p != c.want && c.no == nil {
			t.Errorf("%+v, a whole copy %t: refused %v, and the plan is %+v", c.given, c.whole, refused, p)
		}
	}
}

// aHalfCopy is a join whose copy has come to nothing, with a tablespace that lies in x.
func aHalfCopy(t *testing.T) (s *Setup, data, x string) {
	t.Helper()
	s, data = aJoin(t)
	x = filepath.Join(filepath.Dir(data), "x")
	ok(t, s.makeWay(spaceIn("/a"), postgres.Layout{Tablespaces: map[string]string{"1": x}}))
	ok(t, os.MkdirAll(filepath.Join(data+".part", "pg_tblspc"), 0o700)) // without its link still
	ok(t, os.MkdirAll(filepath.Join(x+".new", "half"), 0o700))
	return s, data, x
}

func spaceIn(dirs ...string) (all []postgres.Tablespace) {
	for i, dir := range dirs {
		all = append(all, postgres.Tablespace{OID: strconv.Itoa(i + 1), Name: "fast", Location: dir})
	}
	return all
}

// A disk was too small: another one may be named, since no copy is there yet.
func TestAHalfCopyIsDroppedWhenItShallLieElsewhere(t *testing.T) {
	s, data, x := aHalfCopy(t)
	again := quiet(s.Dir)
	ok(t, again.begin(Second, Plan{WAL: data + "-wal", Tablespaces: "/a=" + x + "2"}))
	layout, err := again.state.Plan.layout(spaceIn("/a"))
	ok(t, err)
	ok(t, again.makeWay(spaceIn("/a"), layout))
	for _, left := range []string{data + ".part", x + ".new"} {
		if _, err := os.Lstat(left); err == nil {
			t.Errorf("%s is left of the copy before", left)
		}
	}
	ok(t, os.Mkdir(data+".new", 0o700)) // the copy is whole now
	if err := quiet(s.Dir).begin(Second, Plan{WAL: "/w"}); err == nil || !strings.Contains(err.Error(), "with another answer for --waldir") {
		t.Errorf("a whole copy shall lie elsewhere: %v", err)
	}
}

// What is beside a directory that no copy of ours went to is somebody's.
func TestATablespaceThatIsNewSinceIsLookedAt(t *testing.T) {
	for _, wal := range []string{"", "y"} {
		s, data, x := aHalfCopy(t)
		y := filepath.Join(filepath.Dir(data), "y")
		ok(t, os.MkdirAll(filepath.Join(y+".new", "theirs"), 0o700))
		layout := postgres.Layout{Tablespaces: map[string]string{"1": x}}
		if wal == "" {
			layout.Tablespaces["2"] = y
		} else {
			layout.WAL = y
		}
		if err := s.makeWay(spaceIn("/a", "/b")[:len(layout.Tablespaces)], layout); !errors.Is(err, ErrInTheWay) {
			t.Errorf("%+v: %v", layout, err)
		}
		if _, err := os.Lstat(filepath.Join(y+".new", "theirs")); err != nil {
			t.Error("it was removed")
		}
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

// Each directory is renamed and deleted for itself, with what has its name and an ending.
func TestDirectoriesOfACopyLieApart(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	ok(t, os.Symlink("real", filepath.Join(dir, "link")))
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		wal, mapping, problem string
		late                  bool // only the first server's tablespaces show it
	}{
		{wal: at("w"), mapping: "/a=" + at("x") + ",/b=" + at("x2")},
		{wal: at("d/wal"), problem: "use --waldir " + at("d/wal") + ": it lies in data directory " + at("d") + ";"},
		{wal: at("d"), problem: "it lies in "},
		{wal: at("d.new"), problem: at("d.new") + ": mcctl gives this ending to names beside"},
		{wal: at("d.old/wal"), problem: at("d.old/wal") + ": it lies in " + at("d.old") + ", which belongs to data directory " + at("d")},
		{mapping: "/a=" + at("x") + ",/b=" + at("x"), problem: ": it lies in "},
		{wal: at("x/wal"), mapping: "/a=" + at("x"), problem: "use --waldir " + at("x/wal") + ": it lies in --tablespace-mapping " + at("x") + ";"},
		{mapping: "/a=" + at("x.part"), problem: "mcctl gives this ending"},
		{wal: at("link/w"), mapping: "/a=" + at("real/w"), problem: ": it lies in "},
		{wal: "/b/wal", late: true, problem: "use --waldir /b/wal: it lies in tablespace b in /b; "},
		{mapping: "/a=/b", late: true, problem: "; or say where it shall be on this host: --tablespace-mapping /"},
	} {
		p := Plan{DataDirectory: at("d"), WAL: c.wal, Tablespaces: c.mapping}
		err := p.mayLieElsewhere()
		if c.late {
			_, err = p.layout([]postgres.Tablespace{{OID: "1", Name: "a", Location: "/a"}, {OID: "2", Name: "b", Location: "/b"}})
		}
		if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	_, err := Plan{DataDirectory: "/d"}.layout(spaceIn("/d/spaces/fast"))
	if err == nil || err.Error() != "use tablespace fast in /d/spaces/fast: it lies in data directory /d; no directory may lie in another one; or say where it shall be on this host: --tablespace-mapping /d/spaces/fast=DIR" {
		t.Error(err)
	}
}
