package probe_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// server is a real PostgreSQL of one test.
type server struct {
	t    *testing.T
	bin  string
	data string
	port int
	cmd  *exec.Cmd
}

// newServer starts one on a free port; it is gone when the test ends.
func newServer(t *testing.T) *server {
	t.Helper()
	if os.Getuid() == 0 {
		t.Fatal("PostgreSQL does not run as root; run these tests by make test")
	}
	s := &server{t: t, bin: findPostgreSQL(t), data: filepath.Join(t.TempDir(), "data"), port: freePort(t)}
	s.command("initdb", "-D", s.data, "-U", "postgres", "-A", "trust", "--no-sync")
	s.start()
	t.Cleanup(s.stop)
	return s
}

// promoted starts a copy of the server on the next timeline, with what the server holds now.
func (s *server) promoted() *server {
	s.t.Helper()
	c := &server{t: s.t, bin: s.bin, data: filepath.Join(s.t.TempDir(), "data"), port: freePort(s.t)}
	s.command("pg_basebackup", "-d", s.uri(), "-D", c.data, "-c", "fast", "--no-sync")
	if err := os.WriteFile(filepath.Join(c.data, "standby.signal"), nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
	c.start()
	s.t.Cleanup(c.stop)
	c.sql("select pg_promote()")
	return c
}

func findPostgreSQL(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("PG_BIN"); dir != "" {
		return dir
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		t.Fatal("no PostgreSQL below /usr/lib/postgresql; install postgresql-15 or newer")
	}
	return filepath.Dir(found[len(found)-1])
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *server) command(name string, args ...string) {
	s.t.Helper()
	if out, err := exec.Command(filepath.Join(s.bin, name), args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// start returns once the server takes connections.
func (s *server) start() {
	s.t.Helper()
	var log bytes.Buffer
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data, "-p", fmt.Sprint(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
	s.cmd.Stderr = &log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if c, err := pgconn.Connect(s.t.Context(), s.uri()); err == nil {
			_ = c.Close(s.t.Context())
			return
		} else if time.Now().After(end) {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
			s.t.Fatalf("PostgreSQL does not start: %v\n%s", err, log.String())
		}
	}
}

func (s *server) stop() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Signal(syscall.SIGINT)
		_ = s.cmd.Wait()
	}
}

func (s *server) uri() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// hosts names two servers in one connection string, the first to be tried first.
func hosts(first, second *server) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable", first.port, second.port)
}

// sql runs one statement and returns the first field of its first row.
func (s *server) sql(statement string) string {
	s.t.Helper()
	field, err := s.try(statement)
	if err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	return field
}

func (s *server) try(statement string) (field string, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	c, err := pgconn.Connect(ctx, s.uri())
	if err != nil {
		return "", err
	}
	defer c.Close(ctx)
	res, err := c.Exec(ctx, statement).ReadAll()
	if err != nil || len(res[0].Rows) == 0 {
		return "", err
	}
	return string(res[0].Rows[0][0]), nil
}

// await waits until a statement says that it is so.
func (s *server) await(statement string) {
	s.t.Helper()
	for end := time.Now().Add(patience); s.sql(statement) != "t"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("it never came true: %s", statement)
		}
	}
}
