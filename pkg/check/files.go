package check

import (
	"fmt"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// fileChecks look at owners and modes.
func fileChecks() []Check {
	return []Check{
		{
			ID: "data-directory", What: "the data directory is one of PostgreSQL's, and can be read", Severity: Error,
			Why:    "there is nothing to start",
			Mend:   "see that data_directory in {mcdir}/server.toml is right, and run this as its owner; if the data is gone, copy it from {there} with {bin}/pg_basebackup",
			Blocks: blocks(Failover, Switch, Rewind), Judge: dataDirectory,
		},
		{
			ID: "runs-as-root", What: "mcctl check runs as the owner of the data directory", Severity: Warning,
			Why:   "PostgreSQL does not run as root, and root may do what the supervisor may not: such a check proves less",
			Mend:  "runuser -u {owner} -- mcctl check -M {mcdir}",
			Needs: needs(Files), Judge: runsAsRoot,
		},
		{
			ID: "owner", What: "data, configuration, keys and the management directory belong to one user", Severity: Error,
			Why:    "the supervisor reads and writes all of them as the owner of the data directory; a file of somebody else stops it in the middle of a failover",
			Mend:   "chown -R {owner} {path}",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(Files), Judge: wrongOwner,
		},
		{
			ID: "data-mode", What: "the data directory has mode 0700 or 0750", Severity: Error,
			Why:    "PostgreSQL refuses to start on a directory that others may enter",
			Mend:   "chmod 0700 {path}",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(Files), Judge: dataMode,
		},
		{
			ID: "secret-mode", What: "keys and passfiles have mode 0600", Severity: Error,
			Why:    "whoever can read a key can be a supervisor; libpq ignores a passfile that others can read",
			Mend:   "chmod 0600 {path}",
			Blocks: blocks(Rewind, Rebuild), Needs: needs(Files), Judge: secretMode,
		},
		{
			ID: "mcdir-mode", What: "the management directory and what it holds cannot be written by others", Severity: Warning,
			Why:   "whoever can write the copy of the record can say who is primary",
			Mend:  "chmod go-w {path}",
			Needs: needs(Files), Judge: mcdirMode,
		},
	}
}

func (s *Side) path(name string) (Path, bool) {
	for _, p := range s.Paths {
		if p.Name == name {
			return p, true
		}
	}
	return Path{}, false
}

func dataDirectory(v View) []Trouble {
	if v.Me.DataError == "" {
		return nil
	}
	return one(v.Me.DataError)
}

func runsAsRoot(v View) []Trouble {
	data, _ := v.Me.path("data directory")
	if v.Me.Euid != 0 {
		return nil
	}
	return one("this was looked at as root, but the data directory belongs to "+data.User, "owner", data.User)
}

func wrongOwner(v View) (found []Trouble) {
	data, _ := v.Me.path("data directory")
	owner := data
	if v.Me.Euid != 0 && v.Me.Euid != data.UID {
		owner.UID, owner.User = v.Me.Euid, userName(v.Me.Euid)
	}
	for _, p := range v.Me.Paths {
		if p.UID != owner.UID {
			found = append(found, Trouble{
				fmt.Sprintf("%s %s belongs to %s, not to %s", p.Name, p.Path, p.User, owner.User),
				fill("owner", owner.User, "path", p.Path),
			})
		}
	}
	return found
}

func dataMode(v View) []Trouble {
	p, _ := v.Me.path("data directory")
	if p.Mode == 0o700 || p.Mode == 0o750 {
		return nil
	}
	return one(fmt.Sprintf("data directory %s has mode %04o, not 0700 or 0750", p.Path, p.Mode), "path", p.Path)
}

func secretMode(v View) (found []Trouble) {
	for _, name := range []string{"key", "passfile", "passfile of replication"} {
		if p, ok := v.Me.path(name); ok && p.Mode&0o077 != 0 {
			found = append(found, Trouble{fmt.Sprintf("%s %s has mode %04o, not 0600", p.Name, p.Path, p.Mode), fill("path", p.Path)})
		}
	}
	return found
}

func mcdirMode(v View) (found []Trouble) {
	for _, p := range v.Me.Paths {
		ours := p.Path == v.Me.Mcdir || strings.HasPrefix(p.Path, v.Me.Mcdir+"/") || p.Name == "directory of the key"
		if ours && p.Mode&0o022 != 0 {
			found = append(found, Trouble{fmt.Sprintf("%s %s has mode %04o: others may write it", p.Name, p.Path, p.Mode), fill("path", p.Path)})
		}
	}
	return found
}
