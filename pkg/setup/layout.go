package setup

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
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
	if p.WAL != "" {
		errs = append(errs, isFree(walDirectory, p.WAL), mayMake(walDirectory, p.WAL))
	}
	for _, dir := range slices.Sorted(maps.Values(to)) {
		errs = append(errs, isFree(mappingFlag, dir), mayMake(mappingFlag, dir))
	}
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
	for _, t := range spaces {
		there = append(there, t.Location)
		l.Tablespaces[t.OID] = cmp.Or(to[t.Location], t.Location)
		delete(to, t.Location)
	}
	for from := range to {
		return l, fmt.Errorf("use %s %s=%s: the first server has no tablespace in %s; it has %s", mappingFlag, from, to[from], from, cmp.Or(strings.Join(there, ", "), "none"))
	}
	return l, nil
}

// areFree looks at the directories that only the first server's tablespaces tell.
func areFree(spaces []postgres.Tablespace, l postgres.Layout) error {
	var errs []error
	for _, t := range spaces {
		what := "tablespace " + t.Name + " in"
		if err := errors.Join(isFree(what, l.Tablespaces[t.OID]), mayMake(what, l.Tablespaces[t.OID])); err != nil {
			errs = append(errs, fmt.Errorf("%w; or "+tablespaceHint, err, t.Location))
		}
	}
	return errors.Join(errs...)
}

// reconsider takes what is said of the layout now, if it may: the first server's
// tablespaces may have shown the earlier answer to be wrong. Once there is a copy by that,
// no other one is taken; the flags of those are listed.
func (p *Plan) reconsider(given Plan, may bool) (refused []string) {
	for _, flag := range []string{"waldir", "tablespace-mapping"} {
		switch was, is := p.Answer(flag), *given.Answer(flag); {
		case is == "" || is == *was:
		case may:
			*was = is
		case *was == "": // merge tells of the others
			refused = append(refused, "--"+flag)
		}
	}
	return refused
}
