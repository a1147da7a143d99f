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

// names reports whether a line that is no comment has the path in it, and not only
// as the beginning of a longer one.
func names(text, path string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for rest := line; ; {
			_, after, ok := strings.Cut(rest, path)
			if !ok {
				break
			}
			after = strings.TrimPrefix(after, "/")
			if after == "" || strings.ContainsRune(" \t\r\n'\";", rune(after[0])) {
				return true
			}
			rest = after
		}
	}
	return false
}
