package check

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/disk"
	"mcctl/pkg/hook"
	"mcctl/pkg/pgconf"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
	"mcctl/pkg/wire"
)

// Looker looks at one server, from a process on it. It changes nothing.
type Looker struct {
	Config  *config.Config
	Version string // of mcctl
	Root    string // where systemd's and Debian's directories are: "/"
	Now     func() time.Time
	// Patience bounds each connection.
	Patience time.Duration
}

// Look sees what it can. What it cannot see is told in Missing.
func (l Looker) Look(ctx context.Context) *Side {
	c := l.Config
	s := &Side{
		Server: c.Me(), Mcctl: l.Version, Euid: os.Geteuid(), Mcdir: c.Dir, Config: *c, Bin: c.Server.BinDirectory,
		Missing: map[Area]string{Supervisor: "no supervisor was asked on " + string(c.Me())},
	}
	if _, err := os.Stat(filepath.Join(c.Server.DataDirectory, "PG_VERSION")); err != nil {
		s.DataError = err.Error()
	}
	if err := l.files(s); err != nil {
		s.Missing[Files] = err.Error()
	}
	l.programs(ctx, s)
	if program := c.Policy().RebuildCommand; len(program) > 0 {
		if err := hook.Judge(program[0]); err != nil {
			s.RebuildCommand = err.Error()
		}
	}
	l.certificate(s)
	s.Units = units(l.Root, c.Server.DataDirectory)
	if err := l.postgres(ctx, s); err != nil {
		s.Missing[PostgreSQL] = err.Error()
	}
	l.connections(ctx, s)
	s.Looked = l.Now()
	return s
}

func (l Looker) files(s *Side) error {
	c := l.Config.Server
	in := l.instance()
	layout, err := in.Layout()
	if err != nil {
		return err
	}
	if err := l.paths(s, layout); err != nil {
		return err
	}
	if err := l.spaces(s, layout); err != nil {
		return err
	}
	s.Places = text(in.Apart(layout))
	s.Mounted = text(in.FreeOfMounts(layout))
	if s.Overrides, err = overrides(filepath.Join(c.DataDirectory, "postgresql.auto.conf")); err != nil {
		return err
	}
	if s.Control, err = in.Control(); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(c.DataDirectory, "PG_VERSION"))
	if err != nil {
		return err
	}
	if s.VersionFile, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
		return err
	}
	return l.configuration(s)
}

// spaces measures every disk that a pair needs room on.
func (l Looker) spaces(s *Side, layout postgres.Layout) error {
	data := l.Config.Server.DataDirectory
	at := [][2]string{{"data directory", data}, {"pg_wal", filepath.Join(data, "pg_wal")}, {"management directory", l.Config.Dir}}
	for _, oid := range slices.Sorted(maps.Keys(layout.Tablespaces)) {
		at = append(at, [2]string{tablespacePrefix + oid, layout.Tablespaces[oid]})
	}
	for _, p := range at {
		var st syscall.Statfs_t
		var of syscall.Stat_t
		if err := errors.Join(syscall.Statfs(p[1], &st), syscall.Stat(p[1], &of)); err != nil {
			return err
		}
		size := uint64(st.Bsize)
		room := disk.Room{Free: st.Bavail * size, Total: st.Blocks * size, Files: st.Files, Left: st.Ffree}
		s.Spaces = append(s.Spaces, Space{Name: p[0], Path: p[1], Device: of.Dev, Room: room})
	}
	if err := l.instance().Beside(layout); err != nil {
		s.NotBeside = err.Error()
	}
	return nil
}

// overrides are the managed settings in postgresql.auto.conf, where ALTER SYSTEM
// and pg_basebackup -R write them and where they beat postgresql.conf.
func overrides(path string) (found []Override, err error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, line := range pgconf.Parse(b).Settings() {
		switch line.Name {
		case settings.SyncNames, settings.SyncSlots, settings.Conninfo, settings.SlotName:
			found = append(found, Override{line.Name, line.Value, path, line.Line})
		}
	}
	return found, nil
}

func (l Looker) programs(ctx context.Context, s *Side) {
	s.Programs = map[string]string{}
	for _, name := range []string{"postgres", "pg_ctl", "pg_rewind", "pg_basebackup"} {
		ctx, cancel := context.WithTimeout(ctx, l.Patience)
		out, err := exec.CommandContext(ctx, filepath.Join(s.Bin, name), "--version").Output()
		cancel()
		s.Programs[name] = ""
		if err == nil {
			_, version, _ := strings.Cut(strings.TrimSpace(string(out)), "(PostgreSQL) ")
			s.Programs[name] = version
		}
	}
}

func (l Looker) certificate(s *Side) {
	t := l.Config.TLS()
	tls, err := wire.LoadTLS(t.CA, t.Certificate, t.Key)
	if err == nil {
		err = tls.OutOfDate
	}
	if err != nil {
		s.Certificate = err.Error()
	}
	s.Expires = expiry(t.CA, t.Certificate)
}

func (l Looker) instance() *postgres.Instance {
	c := l.Config.Server
	return &postgres.Instance{
		Data: c.DataDirectory, Bin: c.BinDirectory, ConfigFile: c.ConfigFile, Socket: c.Postgres.SocketDirectory, Port: c.Postgres.Port,
		User: c.Postgres.User, Database: c.Postgres.Database, Passfile: c.Postgres.Passfile,
	}
}

func (l Looker) postgres(ctx context.Context, s *Side) error {
	ctx, cancel := context.WithTimeout(ctx, l.Patience)
	defer cancel()
	session, err := l.instance().Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	seen, err := session.Inspect(ctx)
	if err != nil {
		return err
	}
	s.Postgres = &seen
	return nil
}

// connections are made as the standby, pg_rewind and pg_basebackup would make them.
func (l Looker) connections(ctx context.Context, s *Side) {
	c := l.Config
	host, port, _ := net.SplitHostPort(c.Endpoint(c.Other()).Replication) // checked by config.Load
	number, _ := strconv.Atoi(port)
	r := c.Server.Replication
	source := postgres.Source{Host: host, Port: number, User: r.User, Database: c.Server.Postgres.Database, Passfile: r.Passfile, ApplicationName: "mcctl_check", Options: r.Options}
	timed, cancel := context.WithTimeout(ctx, l.Patience)
	defer cancel()
	id, err := source.Identify(timed)
	s.Replicates = Reach{Error: text(err), SystemID: id}
	timed, stop := context.WithTimeout(ctx, l.Patience)
	defer stop()
	reached, err := source.Reach(timed)
	s.Connects = Reach{Error: text(err), SystemID: reached.SystemID, Lacks: reached.Lacks}
}

// text puts an error of several lines on one, without those that repeat: pgx tells
// of each address and of each way of encryption.
func text(err error) string {
	if err == nil {
		return ""
	}
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}
