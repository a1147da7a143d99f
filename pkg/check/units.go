package check

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unitDirs is where systemd reads units, in its order (systemd.unit(5)).
func unitDirs() []string {
	return []string{"etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "lib/systemd/system", "usr/lib/systemd/system"}
}

// units finds what would start the PostgreSQL in data beside mcctl: Debian's
// clusters whose start.conf says auto or is missing (pg_createcluster(1)), and enabled units whose
// text names the data directory, as those of the PostgreSQL packages for Red Hat do
// (Environment=PGDATA=…). A unit that finds its directory in another way is not found.
//
// By whatever links it leads there, it is the same directory.
func units(root, data string) []Unit {
	found := debianClusters(root, data)
	for _, name := range enabledUnits(root) {
		if file := unitNaming(root, name, data); file != "" {
			found = append(found, Unit{name, file})
		}
	}
	return found
}

func debianClusters(root, data string) (found []Unit) {
	confs, _ := filepath.Glob(filepath.Join(root, "etc/postgresql/*/*/postgresql.conf")) // the pattern is well formed
	for _, conf := range confs {
		dir := filepath.Dir(conf)
		file := filepath.Join(dir, "start.conf")
		start, err := os.ReadFile(file)
		if !errors.Is(err, fs.ErrNotExist) && (err != nil || !slices.Contains(strings.Fields(string(start)), "auto")) {
			continue
		}
		text, err := os.ReadFile(conf)
		if err == nil && names(string(text), data) {
			cluster, version := filepath.Base(dir), filepath.Base(filepath.Dir(dir))
			found = append(found, Unit{"postgresql@" + version + "-" + cluster + ".service", file})
		}
	}
	return found
}

// enabledUnits are the names linked below *.wants and *.requires, ours left out.
func enabledUnits(root string) (names []string) {
	for _, dir := range unitDirs() {
		for _, kind := range []string{"wants", "requires"} {
			links, _ := filepath.Glob(filepath.Join(root, dir, "*."+kind, "*.service"))
			for _, link := range links {
				if name := filepath.Base(link); !strings.HasPrefix(name, "mcctl") && !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// unitNaming is the file of a unit, or of its drop-ins, that names the directory.
func unitNaming(root, name, data string) string {
	files := []string{}
	template, _, instance := strings.Cut(name, "@")
	for _, dir := range unitDirs() {
		files = append(files, filepath.Join(root, dir, name))
		if instance {
			files = append(files, filepath.Join(root, dir, template+"@.service"))
		}
		dropIns, _ := filepath.Glob(filepath.Join(root, dir, name+".d", "*.conf"))
		files = append(files, dropIns...)
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && names(string(b), data) {
			return file
		}
	}
	return ""
}

// names reports whether a line that is no comment names the directory, by this path or
// another one.
func names(text, dir string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, word := range strings.FieldsFunc(line, aroundPath) {
			if strings.HasPrefix(word, "/") && sameDirectory(word, dir) {
				return true
			}
		}
	}
	return false
}

// aroundPath are the characters around a path in a unit, or in postgresql.conf.
func aroundPath(r rune) bool { return strings.ContainsRune(" \t\r\n'\"=;", r) }

func sameDirectory(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	there, err := os.Stat(a)
	if err != nil {
		return false
	}
	here, err := os.Stat(b)
	return err == nil && os.SameFile(there, here)
}
