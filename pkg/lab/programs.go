package lab

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// findBin looks for PostgreSQL's server programs: PG_BIN, then the newest of
// Debian's directories, then the one that pg_config names, then PATH.
func findBin() (string, error) {
	places := []string{os.Getenv("PG_BIN")}
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(debian, func(a, b string) int { return majorOf(b) - majorOf(a) })
	places = append(places, debian...)
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		places = append(places, string(out[:max(len(out)-1, 0)]))
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		places = append(places, filepath.Dir(initdb))
	}
	for _, dir := range places {
		if dir != "" && hasPrograms(dir) {
			return dir, nil
		}
	}
	return "", errors.New("find PostgreSQL's server programs (initdb, postgres, pg_rewind, pg_basebackup): install a PostgreSQL server, 13 to 18, or set PG_BIN to their directory")
}

// hasPrograms: without pg_rewind a server whose data has diverged comes back by a copy.
func hasPrograms(dir string) bool {
	for _, p := range []string{"initdb", "postgres", "pg_basebackup"} {
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			return false
		}
	}
	return true
}

// majorOf reads 15 out of /usr/lib/postgresql/15/bin.
func majorOf(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return n
}
