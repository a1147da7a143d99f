package conffiles

import (
	"path/filepath"

	"mcctl/pkg/pgconf"
)

// Opened is a file, or a directory of an include_dir, that PostgreSQL opens when it
// reads its configuration.
type Opened struct {
	Path string
	// Err is why it could not be read. That may be no fault: of include_if_exists, or of
	// postgresql.auto.conf, PostgreSQL leaves out what cannot be opened.
	Err error
}

// AllOpened are all of them, each once: of the settings, and of hba and ident unless
// the settings name other files.
func AllOpened(roots pgconf.Roots, hba, ident string) []Opened {
	d := &noting{}
	t := pgconf.Read(d, roots)
	for _, f := range [][2]string{{"hba_file", hba}, {"ident_file", ident}} {
		file := filepath.Clean(f[1])
		if said, ok := t.Get(f[0]); ok && filepath.IsAbs(said.Value) { // else it depends on where PostgreSQL was started
			file = said.Value
		}
		// pg_ident.conf has the same words, includes and @files; an error is noted.
		_, _ = pgconf.ReadHBA(d, file, roots.Major)
	}
	return d.opened
}

// noting is the file system, and what was read of it.
type noting struct {
	disk
	opened []Opened
}

func (n *noting) note(path string, err error) {
	for _, o := range n.opened {
		if o.Path == path {
			return
		}
	}
	n.opened = append(n.opened, Opened{path, err})
}

func (n *noting) ReadFile(path string) ([]byte, error) {
	b, err := n.disk.ReadFile(path)
	n.note(path, err)
	return b, err
}

func (n *noting) List(dir string) ([]string, error) {
	names, err := n.disk.List(dir)
	n.note(dir, err)
	return names, err
}
