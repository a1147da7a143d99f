package setup

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mcctl/pkg/postgres"
)

// Where what lies outside the data directory of a second server goes.

const (
	walDirectory   = "--waldir"
	mappingFlag    = "--tablespace-mapping"
	tablespaceHint = "say where it shall be on this host: " + mappingFlag + " %s=DIR"
)

// mapping is the directory of each tablespace on this server by that on the first.
func (p Plan) mapping() (map[string]string, error) {
	to := map[string]string{}
	for one := range strings.SplitSeq(p.Tablespaces, ",") {
		from, dir, _ := strings.Cut(one, "=")
		switch {
		case p.Tablespaces == "":
		case !filepath.IsAbs(from) || !filepath.IsAbs(dir):
			return nil, fmt.Errorf("use %s %q: write OLD=NEW, two absolute directories", mappingFlag, one)
		case to[filepath.Clean(from)] != "":
			return nil, fmt.Errorf("use %s: %s is mapped twice", mappingFlag, from)
		default:
			to[filepath.Clean(from)] = filepath.Clean(dir)
		}
	}
	return to, nil
}

// mayLieElsewhere looks at what was said of the layout, before anything is known of the
// first server's.
func (p Plan) mayLieElsewhere() error {
	to, err := p.mapping()
	errs := []error{err}
	lots := []lot{{dataDirectory, p.DataDirectory, ""}, {walDirectory, p.WAL, ""}}
	if p.WAL != "" {
		errs = append(errs, isFree(walDirectory, p.WAL), mayMake(walDirectory, p.WAL))
	}
	for _, dir := range slices.Sorted(maps.Values(to)) {
		errs = append(errs, isFree(mappingFlag, dir), mayMake(mappingFlag, dir))
		lots = append(lots, lot{mappingFlag, dir, ""})
	}
	errs = append(errs, apart(lots))
	return errors.Join(errs...)
}

// layout is that of the copy.
func (p Plan) layout(spaces []postgres.Tablespace) (postgres.Layout, error) {
	l := postgres.Layout{WAL: p.WAL, Tablespaces: map[string]string{}}
	to, err := p.mapping()
	if err != nil {
		return l, err
	}
	var there []string
	lots := []lot{{dataDirectory, p.DataDirectory, ""}, {walDirectory, p.WAL, ""}}
	for _, t := range spaces {
		there = append(there, t.Location)
		l.Tablespaces[t.OID] = cmp.Or(to[t.Location], t.Location)
		lots = append(lots, lot{"tablespace " + t.Name + " in", l.Tablespaces[t.OID], "; or " + fmt.Sprintf(tablespaceHint, t.Location)})
		delete(to, t.Location)
	}
	for from := range to {
		return l, fmt.Errorf("use %s %s=%s: the first server has no tablespace in %s; it has %s; leave the mapping out, or withdraw all by %s=", mappingFlag, from, to[from], from, cmp.Or(strings.Join(there, ", "), "none"), mappingFlag)
	}
	return l, apart(lots)
}

// areFree looks at the directories of a layout before the first copy goes by it.
func areFree(spaces []postgres.Tablespace, l postgres.Layout) error {
	var errs []error
	if l.WAL != "" {
		errs = append(errs, isFree(walDirectory, l.WAL), mayMake(walDirectory, l.WAL))
	}
	for _, t := range spaces {
		what := "tablespace " + t.Name + " in"
		if err := errors.Join(isFree(what, l.Tablespaces[t.OID]), mayMake(what, l.Tablespaces[t.OID])); err != nil {
			errs = append(errs, fmt.Errorf("%w; or "+tablespaceHint, err, t.Location))
		}
	}
	return errors.Join(errs...)
}

// reconsider takes what is said of the layout now, if it may: the first server's
// tablespaces, or a disk that is too small, may have shown the earlier answer to be wrong.
// Once there is a copy by that, no other one is taken; the flags of those are listed.
func (p *Plan) reconsider(given Plan, may bool) (refused []string) {
	for _, answer := range []struct {
		flag string
		none bool
	}{{"waldir", given.NoWAL}, {"tablespace-mapping", given.NoMapping}} {
		switch was, is := p.Answer(answer.flag), *given.Answer(answer.flag); {
		case is == *was || is == "" && !answer.none:
		case may:
			*was = is
		case *was == "" || is == "": // merge tells of the others
			refused = append(refused, "--"+answer.flag)
		}
	}
	return refused
}

// makeWay notes the layout that the copy goes by, from when on what lies beside its places
// is ours. What a call before has copied by another one is dropped, and this one is looked
// at like the first.
func (s *Setup) makeWay(spaces []postgres.Tablespace, layout postgres.Layout) error {
	was := s.state.Layout
	if s.state.Copying && was.WAL == layout.WAL && maps.Equal(was.Tablespaces, layout.Tablespaces) {
		return nil
	}
	if err := s.dropCopy(); err != nil {
		return err
	}
	if err := areFree(spaces, layout); err != nil {
		return err
	}
	s.state.Copying, s.state.Layout = true, layout
	return s.save()
}

// dropCopy removes what a copy has left, all that lies at the names which were free before.
func (s *Setup) dropCopy() error {
	if !s.state.Copying {
		return nil
	}
	if err := s.instance().DropCopy(); err != nil {
		return err
	}
	data := s.state.Plan.DataDirectory
	left := []string{data + ".part", data + ".new"}
	for _, dir := range append(slices.Collect(maps.Values(s.state.Layout.Tablespaces)), s.state.Layout.WAL) {
		if dir != "" {
			left = append(left, dir+".new")
		}
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("drop copy: %w", err)
		}
	}
	s.state.Copying = false
	return s.save()
}
