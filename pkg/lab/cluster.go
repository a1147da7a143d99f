package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
)

// The roles of a lab, beside the superuser postgres.
const (
	replicationRole = "mcctl_replication"
	appRole         = "app"
)

// secrets are the passwords of the lab's roles. They go into passfiles and, as
// SCRAM verifiers, into the cluster; never into an argument, a log or a URI.
type secrets struct{ App, Replication string }

// initCluster makes server1's data directory and everything in it. The roles are
// made in single-user mode: that needs no port, no password and no running
// server that a kill would leave behind.
func (l *Lab) initCluster(ctx context.Context, s secrets) error {
	data := l.Data(Server1)
	if err := l.newCluster(ctx, data); err != nil {
		return err
	}
	if err := l.configure(Server1); err != nil {
		return err
	}
	// Every ERROR ends the program with a status, instead of only being printed.
	err := l.run.do(ctx, l.Dir, roles(s), l.program("postgres"), "--single", "-D", data, "-c", "exit_on_error=on", "postgres")
	if err != nil {
		return err
	}
	return l.syncCluster(ctx, Server1)
}

// newCluster makes what initdb makes. Of several that make the template at once, one
// puts it there.
func (l *Lab) newCluster(ctx context.Context, data string) error {
	if l.template == "" {
		return l.initdb(ctx, data)
	}
	if _, err := os.Stat(l.template); errors.Is(err, fs.ErrNotExist) {
		own := fmt.Sprintf("%s.%s", l.template, rand.Text())
		if err := l.initdb(ctx, own); err != nil {
			return err
		}
		if err := os.Rename(own, l.template); err != nil {
			_ = os.RemoveAll(own)
		}
	}
	return l.run.do(ctx, l.Dir, "", "cp", "-a", l.template, data)
}

func (l *Lab) initdb(ctx context.Context, data string) error {
	return l.run.do(ctx, l.Dir, "", l.program("initdb"), "-D", data, "-U", "postgres", "-k", "-E", "UTF8", "--locale=C",
		"--auth-local=peer", "--auth-host=scram-sha-256", "--no-sync")
}

// roles is one statement a line, as single-user mode reads them. The functions
// are those that pg_rewind calls on its source (pg_rewind's page in the manual,
// PostgreSQL 11 to 18).
func roles(s secrets) string {
	return strings.Join([]string{
		fmt.Sprintf("CREATE ROLE %s LOGIN REPLICATION PASSWORD '%s'", replicationRole, s.Replication),
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean) TO " + replicationRole,
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_file(text, boolean) TO " + replicationRole,
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text) TO " + replicationRole,
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO " + replicationRole,
		fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", appRole, s.App),
		fmt.Sprintf("CREATE DATABASE %s OWNER %s", appRole, appRole),
	}, "\n") + "\n"
}

// copyCluster makes server2 a standby from the data directory of server1, which
// has never run and is shut down cleanly: a copy of its files is a base backup.
func (l *Lab) copyCluster(ctx context.Context) error {
	data := l.Data(Server2)
	if err := l.run.do(ctx, l.Dir, "", "cp", "-a", l.Data(Server1), data); err != nil {
		return err
	}
	if err := l.configure(Server2); err != nil {
		return err
	}
	signal := filepath.Join(data, "standby.signal")
	if err := durable.WriteFile(signal, nil, 0o600); err != nil {
		return err
	}
	if err := l.run.own(signal); err != nil {
		return err
	}
	return l.syncCluster(ctx, Server2)
}

// syncCluster puts a whole data directory on disk before lab.json says built. Servers that
// do without fsync are not meant to outlive a power cut.
func (l *Lab) syncCluster(ctx context.Context, s pair.Server) error {
	if l.state.Settings["fsync"] == "off" {
		return nil
	}
	return l.run.do(ctx, l.Dir, "", l.program("initdb"), "--sync-only", "-D", l.Data(s))
}

func (l *Lab) program(name string) string { return filepath.Join(l.state.BinDir, name) }

// writePassfiles writes one for clients and one for each server's replication.
func (l *Lab) writePassfiles(s secrets) error {
	files := map[string]string{l.path("pgpass"): l.passfile(appRole, s.App)}
	for _, srv := range servers() {
		files[filepath.Join(l.Mcdir(srv), "pgpass")] = l.passfile(replicationRole, s.Replication)
	}
	for path, text := range files {
		if err := l.write(path, text); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) passfile(role, password string) string {
	var b strings.Builder
	for _, s := range servers() {
		fmt.Fprintf(&b, "127.0.0.1:%d:*:%s:%s\n", l.ClientPort(s), role, password)
	}
	return b.String()
}

// write makes or replaces a file that only the account may read.
func (l *Lab) write(path, text string) error {
	if err := durable.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return l.run.own(path)
}

// edit rewrites a file of the data directory.
func (l *Lab) edit(s pair.Server, name string, change func([]byte) []byte) error {
	path := filepath.Join(l.Data(s), name)
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return l.write(path, string(change(old)))
}
