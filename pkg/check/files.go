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
			ID: "owner", What: "data, tablespaces, configuration, keys and the management directory belong to one user", Severity: Error,
			Why:    "the supervisor reads and writes all of them as the owner of the data directory; a file of somebody else stops it in the middle of a failover",
			Mend:   "chown {whole}{owner}: {path}",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(Files), Judge: wrongOwner,
		},
		{
			ID: "data-mode", What: "the data directory has mode 0700 or 0750", Severity: Error,
			Why:    "PostgreSQL refuses to start on a directory that others may enter",
			Mend:   "chmod 0700 {path}",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(Files), Judge: dataMode,
		},
		{
			ID: "tablespace-mode", What: "tablespaces, and pg_wal where it lies elsewhere, have mode 0700 or 0750", Severity: Warning,
			Why:   "PostgreSQL gave them such a mode when it made them and does not look again: whoever may write there can take the data away or put other data in its place",
			Mend:  "chmod 0700 {path}",
			Needs: needs(Files), Judge: tablespaceMode,
		},
		{
			ID: "places-apart", What: "tablespaces, and pg_wal where it is a link, lie neither in the data directory nor in each other", Severity: Error,
			Why:    "PostgreSQL only warns when a tablespace is made there; but pg_rewind and a copy would mix it up with the data directory's other files: both are refused",
			Mend:   "mcctl stop -M {mcdir}; move the directory that is told to a place of its own; lead the link there: ln -sfn PLACE {data}/pg_tblspc/OID; mcctl start -M {mcdir}",
			Blocks: blocks(Rewind, Rebuild), Needs: needs(Files), Judge: placesApart,
		},
		{
			ID: "mounts-inside", What: "nothing is mounted inside the data directory, a tablespace or the directory that pg_wal leads to", Severity: Error,
			Why:    "what is mounted there would be emptied and could not be removed: a copy is refused, and a rewind too, but not for base, global, pg_wal and pg_stat_tmp themselves",
			Mend:   "mcctl stop -M {mcdir}; do what is told of the mount point; mcctl start -M {mcdir}",
			Blocks: blocks(Rebuild), Needs: needs(Files), Judge: mountsInside,
		},
		{
			ID: "configuration-readable", What: "the owner of the data can read every file of PostgreSQL's configuration, also those that are included", Severity: Error,
			Why:   "for the sake of one file PostgreSQL ignores a whole reload, also of what mcctl has changed, and does not start again; a file of include_if_exists it leaves out without a word",
			Mend:  "see what is in the way: namei -l {path}; as a rule, as root: chown {owner}: {path} && chmod u+r {path}",
			Needs: needs(Files), Judge: unreadable, // whether PostgreSQL refuses it, configuration-errors and hba-errors tell
		},
		{
			ID: "configuration-writable", What: "mcctl can change the settings that it manages, wherever they stand in PostgreSQL's configuration", Severity: Error,
			Why:    "it changes them with the role: a new primary's commits wait for a standby that has gone, until they can be changed, and an old one does not come back",
			Mend:   "put right what is told of the file",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(Files), Judge: closedConfiguration,
		},
		{
			ID: "configuration-mode", What: "only the owner of the data and root can write PostgreSQL's configuration, also what is included, and the directories that hold it", Severity: Warning,
			Why:   "whoever can write it has PostgreSQL run commands of his (archive_command), lets himself in, or turns off what keeps commits safe",
			Mend:  "chown {owner}: {path} && chmod go-w {path}",
			Needs: needs(Files), Judge: configurationMode,
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

func dataDirectory(v View) []Trouble { return ifAny(v.Me.DataError) }

// owner is whose all of it should be: of the data, or whoever looked, who is never root.
func (s *Side) owner() (uid int, name string) {
	data, _ := s.path("data directory")
	if s.Euid != data.UID {
		return s.Euid, userName(s.Euid)
	}
	return data.UID, data.User
}

func wrongOwner(v View) (found []Trouble) {
	uid, owner := v.Me.owner()
	for _, p := range v.Me.Paths {
		switch {
		case p.UID == uid, p.Name == authorityKey: // mcctl reads that for new members only, and root's is as safe
		case p.Name == keyDirectory && p.UID == 0: // that of the host's own keys, such as /etc/ssl/private
		default:
			found = append(found, Trouble{
				fmt.Sprintf("%s %s belongs to %s, not to %s", p.Name, p.Path, p.User, owner),
				fill("owner", owner, "path", p.Path, "whole", p.whole()),
			})
		}
	}
	return found
}

// whole has chown take what lies in a directory that is one user's alone.
func (p Path) whole() string {
	if p.Name == keyDirectory {
		return ""
	}
	return "-R "
}

func dataMode(v View) []Trouble {
	p, _ := v.Me.path("data directory")
	if p.Mode == 0o700 || p.Mode == 0o750 {
		return nil
	}
	return one(fmt.Sprintf("data directory %s has mode %04o, not 0700 or 0750", p.Path, p.Mode), "path", p.Path)
}

func tablespaceMode(v View) (found []Trouble) {
	for _, p := range v.Me.Paths {
		if (p.Name == walElsewhere || strings.HasPrefix(p.Name, tablespacePrefix)) && p.Mode != 0o700 && p.Mode != 0o750 {
			found = append(found, Trouble{fmt.Sprintf("%s, %s, has mode %04o, not 0700 or 0750", p.Name, p.Path, p.Mode), fill("path", p.Path)})
		}
	}
	return found
}

func unreadable(v View) (found []Trouble) {
	_, owner := v.Me.owner()
	for _, p := range v.Me.Configuration {
		if p.Unreadable != "" {
			found = append(found, Trouble{p.Unreadable, fill("owner", owner, "path", p.Path)})
		}
	}
	return found
}

func closedConfiguration(v View) (found []Trouble) {
	for _, text := range v.Me.Closed {
		found = append(found, one(text)...)
	}
	return found
}

func configurationMode(v View) (found []Trouble) {
	uid, owner := v.Me.owner()
	for _, p := range v.Me.Configuration {
		told := fmt.Sprintf("%s %s has mode %04o: others may write it", p.Name, p.Path, p.Mode)
		switch {
		case p.UID == unknownUser:
			continue
		case p.UID != uid && p.UID != 0:
			told = fmt.Sprintf("%s %s belongs to %s, who may write it", p.Name, p.Path, p.User)
		case p.Mode&0o022 == 0:
			continue
		}
		found = append(found, Trouble{told, fill("owner", owner, "path", p.Path)})
	}
	return found
}

func placesApart(v View) []Trouble { return ifAny(v.Me.Places) }

func mountsInside(v View) []Trouble { return ifAny(v.Me.Mounted) }
