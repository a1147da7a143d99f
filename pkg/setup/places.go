package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"mcctl/pkg/config"
	"mcctl/pkg/pgconf"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// absolute makes paths mean the same wherever the next call is made.
func (p *Plan) absolute() error {
	for _, path := range []*string{&p.DataDirectory, &p.WAL, &p.CA, &p.ConfigFile, &p.HBAFile, &p.IdentFile, &p.Bin, &p.Socket, &p.Arbitration, &p.Fencing} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("find %s: %w", *path, err)
		}
		*path = absolute
	}
	return nil
}

// complete fills in what follows from the rest of a plan.
func (p *Plan) complete() error {
	if p.User == "" {
		// Peer authentication lets in whom the system knows by the same name.
		me, err := user.Current()
		if err != nil {
			return fmt.Errorf("find out who we are: %w", err)
		}
		p.User = me.Username
	}
	for text, value := range map[*string]string{&p.Database: "postgres", &p.Replicator: "mcctl_replication", &p.Locale: "C", &p.ArbiterKind: string(config.Witness)} {
		if *text == "" {
			*text = value
		}
	}
	return nil
}

// findPlaces finds programs and a socket directory for a PostgreSQL that does not run.
func (p *Plan) findPlaces() error {
	if p.Bin == "" {
		p.Bin = findPrograms()
	}
	if p.Bin == "" {
		return errors.New("find PostgreSQL's programs (initdb, pg_basebackup): none are in /usr/lib/postgresql, /usr/pgsql-* or PATH; install a PostgreSQL server, 13 to 18, or give --bin-directory")
	}
	if p.Socket == "" {
		p.Socket = "/tmp" // PostgreSQL's own default
		const write = 2   // W_OK
		if syscall.Access("/var/run/postgresql", write) == nil {
			p.Socket = "/var/run/postgresql" // Debian's
		}
	}
	return nil
}

// findPrograms looks for the newest in Debian's and Red Hat's places, then in PATH.
func findPrograms() string {
	var places []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"} {
		found, _ := filepath.Glob(pattern) // the pattern is right
		places = append(places, found...)
	}
	major := func(bin string) int {
		version := filepath.Base(filepath.Dir(bin))
		n, _ := strconv.Atoi(version[strings.LastIndexByte(version, '-')+1:])
		return n
	}
	slices.SortStableFunc(places, func(a, b string) int { return major(b) - major(a) })
	for _, dir := range places {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir
		}
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(initdb)
	}
	return ""
}

// meet learns from a running PostgreSQL where it is and keeps its files.
func (p *Plan) meet(ctx context.Context) error {
	socket, port, bin, err := (&postgres.Instance{Data: p.DataDirectory}).Running()
	if err != nil {
		return fmt.Errorf("take over data directory %s: %w; start it, or run mcctl init as the user who runs it", p.DataDirectory, err)
	}
	if _, said := split(p.Replication); said != port {
		return fmt.Errorf("take over data directory %s: its PostgreSQL listens on port %d, but --replication says %s", p.DataDirectory, port, p.Replication)
	}
	if p.Bin == "" {
		p.Bin = bin
	}
	if p.Socket == "" {
		p.Socket = socket
	}
	in := &postgres.Instance{Data: p.DataDirectory, Bin: p.Bin, Socket: p.Socket, Port: port, User: p.User, Database: p.Database}
	session, err := in.Connect(ctx)
	if err != nil {
		return fmt.Errorf("%w; mcctl connects over the unix socket in %s as %s without a password: have pg_hba.conf allow that (local all %s peer), or name another superuser with --user", err, p.Socket, p.User, p.User)
	}
	defer session.Close()
	standby, err := session.InRecovery(ctx)
	if err != nil {
		return err
	}
	if standby {
		return fmt.Errorf("take over data directory %s: it is a standby; run mcctl init on its primary, and mcctl init --join here", p.DataDirectory)
	}
	has, err := session.HasRole(ctx, p.Replicator)
	if err != nil {
		return err
	}
	if has {
		return fmt.Errorf("make role %s: there is one already, and its password would be changed; name another one with --replication-user", p.Replicator)
	}
	return p.meetFiles(ctx, session)
}

func (p *Plan) meetFiles(ctx context.Context, session *postgres.Session) error {
	said, err := session.Describe(ctx, []string{"config_file", "hba_file", "ident_file"})
	if err != nil {
		return err
	}
	p.noteFiles(said["config_file"].Value, said["hba_file"].Value, said["ident_file"].Value)
	return nil
}

// noteFiles notes the configuration files that are not the usual ones of the data directory.
func (p *Plan) noteFiles(main, hba, ident string) {
	p.ConfigFile, p.HBAFile, p.IdentFile = p.apart(main, "postgresql.conf"), p.apart(hba, "pg_hba.conf"), p.apart(ident, "pg_ident.conf")
}

// apart is a configuration file unless it is the usual one of the data directory, which
// PostgreSQL may name by another way than we.
func (p *Plan) apart(file, usual string) string {
	if filepath.Base(file) == usual && sameDirectory(filepath.Dir(file), p.DataDirectory) {
		return ""
	}
	return file
}

func sameDirectory(a, b string) bool {
	isA, errA := os.Stat(a)
	isB, errB := os.Stat(b)
	return a == b || errA == nil && errB == nil && os.SameFile(isA, isB)
}

// isCopied tells whether a copy of the data directory has the configuration files: links
// are left out of it ("skipping special file", sendDir in basebackup.c, 13 to 18).
func (p Plan) isCopied() bool {
	for name, apart := range map[string]string{"postgresql.conf": p.ConfigFile, "pg_hba.conf": p.HBAFile} {
		if st, err := os.Lstat(filepath.Join(p.DataDirectory, name)); apart != "" || err == nil && !st.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// configureNew edits the files of a new cluster before it runs for the first time.
func (p Plan) configureNew(data string) error {
	host, port := split(p.Replication)
	values := [][2]string{
		{"listen_addresses", "localhost," + host},
		{"port", strconv.Itoa(port)},
		{"unix_socket_directories", p.Socket},
		{"cluster_name", p.Name},
		{"password_encryption", "scram-sha-256"}, // 13 still has md5
	}
	err := editFile(filepath.Join(data, "postgresql.conf"), func(text []byte) []byte {
		f := pgconf.Parse(text)
		for _, v := range values {
			f.Set(v[0], v[1])
		}
		f.CommentOut(settings.SyncNames)
		return f.Bytes()
	})
	if err != nil {
		return err
	}
	return editFile(filepath.Join(data, "pg_hba.conf"), func(text []byte) []byte { return withHBA(text, p.hbaLines()) })
}
