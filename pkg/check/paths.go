package check

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"mcctl/pkg/conffiles"
	"mcctl/pkg/config"
	"mcctl/pkg/majors"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// Names of paths that a check asks for.
const (
	authorityKey     = "key of the certificate authority"
	keyDirectory     = "directory of the key"
	etcdKey          = "key for etcd"
	etcdPassword     = "password file for etcd"
	walElsewhere     = "directory of pg_wal"
	tablespacePrefix = "tablespace "
)

// unknownUser owns what could not be looked at.
const unknownUser = -1

// paths looks at every directory and secret.
func (l Looker) paths(s *Side, layout postgres.Layout) error {
	type named struct{ name, path string }
	c, authority := l.Config.Server, l.Config.Path("ca")
	all := []named{
		{"data directory", c.DataDirectory},
		{"pg_wal", filepath.Join(c.DataDirectory, "pg_wal")},
		{walElsewhere, layout.WAL},
		{"postgresql.conf", c.ConfigFile},
		{"pg_hba.conf", c.HBAFile},
		{"management directory", l.Config.Dir},
		{"run", l.Config.Path("run")},
		{"log", l.Config.Path("log")},
		{"record.json", l.Config.Path("record.json")},
		{"key", c.TLS.Key},
		{keyDirectory, filepath.Dir(c.TLS.Key)},
		{"passfile of replication", c.Replication.Passfile},
		{"passfile", c.Postgres.Passfile},
		{"directory of the certificate authority", authority},
		{authorityKey, filepath.Join(authority, "ca.key")},
	}
	if a := l.Config.Pair.Arbiter; a.Kind == config.Etcd {
		all = append(all, named{etcdKey, a.Etcd.Key}, named{etcdPassword, a.Etcd.PasswordFile})
	}
	for _, oid := range slices.Sorted(maps.Keys(layout.Tablespaces)) {
		all = append(all, named{tablespacePrefix + oid, layout.Tablespaces[oid]})
	}
	for _, p := range all {
		path, err := pathOf(p.name, p.path)
		switch {
		case p.path == "" || errors.Is(err, fs.ErrNotExist) && p.name != "data directory":
		case err != nil:
			return err
		default:
			s.Paths = append(s.Paths, path)
		}
	}
	return nil
}

// configuration looks at every file of PostgreSQL's configuration and at the directory
// it is in, for whoever can put another file there has written it. What is not there is
// PostgreSQL's to tell.
func (l Looker) configuration(s *Side) error {
	c := l.Config.Server
	seen := []string{c.DataDirectory} // which has a check of its own
	look := func(name, path string, unreadable error) error {
		if slices.Contains(seen, path) {
			return nil
		}
		seen = append(seen, path)
		p, err := pathOf(name, path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission) && unreadable == nil: // it is told of the file in it
			return nil
		case errors.Is(err, fs.ErrPermission):
			p = Path{Name: name, Path: path, UID: unknownUser}
		case err != nil:
			return err
		}
		p.Unreadable = text(unreadable)
		s.Configuration = append(s.Configuration, p)
		return nil
	}
	roots := conffiles.Roots(c.ConfigFile, c.DataDirectory, s.VersionFile)
	if t, err := conffiles.Read(roots); err == nil { // one that cannot be read has its own check
		s.Closed = conffiles.Closed(t, l.managed(s.VersionFile))
	}
	for _, o := range conffiles.AllOpened(roots, c.HBAFile, c.IdentFile) {
		if err := errors.Join(look("configuration", o.Path, o.Err), look("directory of configuration", filepath.Dir(o.Path), nil)); err != nil {
			return err
		}
	}
	return nil
}

// managed are the settings that mcctl changes on this server, in one role or the other.
func (l Looker) managed(major int) []string {
	return settings.Managed(majors.Of(major).SyncSlots && l.Config.Policy().ManageSynchronizedStandbySlots)
}

// pathOf follows a symbolic link: what matters is where the data is.
func pathOf(name, path string) (Path, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Path{}, err
	}
	uid := int(info.Sys().(*syscall.Stat_t).Uid)
	return Path{Name: name, Path: path, Mode: uint32(info.Mode().Perm()), UID: uid, User: userName(uid)}, nil
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}
