package check

import (
	"fmt"
	"strconv"
	"strings"
)

// programChecks look at PostgreSQL's programs.
func programChecks() []Check {
	return []Check{
		{
			ID: "programs-version", What: "the programs are of the data directory's major version", Severity: Error,
			Why:    "another major cannot start the data, and pg_rewind and pg_basebackup must match the server",
			Mend:   "set bin_directory in {mcdir}/server.toml to the programs of PostgreSQL {major}",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(Files), Judge: programsVersion,
		},
		{
			ID: "pg-rewind", What: "pg_rewind is there and of the server's version", Severity: Error,
			Why:    "without it an old primary must be copied whole after a failover",
			Mend:   "install PostgreSQL's server package {major}, or point bin_directory to it; then: {bin}/pg_rewind --version",
			Blocks: blocks(Rewind), Needs: needs(Files), Judge: program("pg_rewind"),
		},
		{
			ID: "pg-basebackup", What: "pg_basebackup is there and of the server's version", Severity: Error,
			Why:    "without it no standby can be rebuilt",
			Mend:   "install PostgreSQL's client package {major}, or point bin_directory to it; then: {bin}/pg_basebackup --version",
			Blocks: blocks(Rebuild), Needs: needs(Files), Judge: program("pg_basebackup"),
		},
		{
			ID: "rebuild-command", What: "policy.rebuild_command can be run, and nobody else can write it", Severity: Error,
			Why:    "it fills the data directory of a standby with the rights of PostgreSQL's user; it is not run otherwise",
			Mend:   "put right what is told of the file, on this server, or change policy.rebuild_command in {mcdir}/pair.toml on both",
			Blocks: blocks(Rebuild), Judge: rebuildCommand,
		},
	}
}

func rebuildCommand(v View) []Trouble { return ifAny(v.Me.RebuildCommand) }

func majorOf(version string) string {
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		return version
	}
	return version[:end]
}

func programsVersion(v View) []Trouble {
	major, have := strconv.Itoa(v.Me.VersionFile), v.Me.Programs["postgres"]
	switch {
	case have == "":
		return one("there is no PostgreSQL in "+v.Me.Bin, "major", major)
	case majorOf(have) != major:
		return one(fmt.Sprintf("PG_VERSION says %s, the programs in %s are of %s", major, v.Me.Bin, have), "major", major)
	}
	return nil
}

func program(name string) func(View) []Trouble {
	return func(v View) []Trouble {
		major, have := strconv.Itoa(v.Me.VersionFile), v.Me.Programs[name]
		switch {
		case have == "":
			return one(fmt.Sprintf("%s/%s does not run", v.Me.Bin, name), "major", major)
		case majorOf(have) != major:
			return one(fmt.Sprintf("%s is of version %s, the data of %s", name, have, major), "major", major)
		}
		return nil
	}
}

// unitChecks look for a second owner of the same PostgreSQL.
func unitChecks() []Check {
	return []Check{{
		ID: "foreign-unit", What: "nothing but mcctl starts this PostgreSQL", Severity: Error,
		Why:   "started at boot by somebody else, an old primary opens for writes past the supervisor",
		Mend:  "as root: echo manual > {file}, when that is a start.conf of Debian; else: systemctl disable {unit}",
		Needs: needs(Files), Judge: foreignUnits,
	}}
}

func foreignUnits(v View) (found []Trouble) {
	for _, u := range v.Me.Units {
		found = append(found, Trouble{fmt.Sprintf("%s starts %s (%s)", u.Name, v.Me.Config.Server.DataDirectory, u.File), fill("unit", u.Name, "file", u.File)})
	}
	return found
}
