package conffiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mcctl/pkg/pgconf"
)

// Whatever the configuration leads to is told of, by whichever way, and what cannot be
// read with the reason.
func TestAllOpened(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{
		"postgresql.conf":      "include 'a.conf'\ninclude_if_exists 'locked.conf'\ninclude_if_exists 'none.conf'\nhba_file = '" + at("site_hba.conf") + "'\n",
		"a.conf":               "include_dir 'conf.d'\n",
		"conf.d/b.conf":        "",
		"conf.d/b.off":         "",
		"locked.conf":          "",
		"postgresql.auto.conf": "",
		"pg_hba.conf":          "local @unused all trust\n",
		"site_hba.conf":        "local @names all trust\ninclude rules\n",
		"names":                "one\n",
		"rules":                "",
		"pg_ident.conf":        "include maps\n",
		"maps":                 "m a b\n",
	} {
		ok(t, os.MkdirAll(filepath.Dir(at(name)), 0o700))
		ok(t, os.WriteFile(at(name), []byte(text), 0o600))
	}
	ok(t, os.Chmod(at("locked.conf"), 0))
	for major, most := range map[int][]string{
		15: {"postgresql.conf", "a.conf", "conf.d", "conf.d/b.conf", "locked.conf", "none.conf", "postgresql.auto.conf", "site_hba.conf", "names", "pg_ident.conf"},
		16: {"postgresql.conf", "a.conf", "conf.d", "conf.d/b.conf", "locked.conf", "none.conf", "postgresql.auto.conf", "site_hba.conf", "names", "rules", "pg_ident.conf", "maps"},
	} {
		var got []string
		for _, o := range AllOpened(pgconf.Roots{Main: at("postgresql.conf"), Auto: at("postgresql.auto.conf"), Major: major}, at("pg_hba.conf"), at("pg_ident.conf")) {
			name, err := filepath.Rel(dir, o.Path)
			ok(t, err)
			got = append(got, name)
			if want := map[string]error{"locked.conf": fs.ErrPermission, "none.conf": fs.ErrNotExist}[name]; !errors.Is(o.Err, want) {
				t.Errorf("%s: %v, want %v", name, o.Err, want)
			}
		}
		if !slices.Equal(got, most) {
			t.Errorf("PostgreSQL %d opens\n%q, we find\n%q", major, most, got)
		}
	}
}
