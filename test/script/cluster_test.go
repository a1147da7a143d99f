package script

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// cluster makes a PostgreSQL below $LAB that is not of any pair. What of its files the
// page has ready is put there before the page starts it by pg_ctl; it is stopped when
// the page ends:
//
//	cluster
//
// It sets D1, PORT1 and ADMIN1 as lab does, so that sql 1 asks it, and MC1, which is
// not there yet.
func cluster(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: cluster")
	}
	dir, err := os.MkdirTemp("", "mcpage") // its sockets' paths must be short
	ts.Check(err)
	data := filepath.Join(dir, "server1", "data")
	ts.Check(os.MkdirAll(filepath.Join(dir, "server1", "run"), 0o700))
	program := func(name string) string { return filepath.Join(ts.Getenv("PG_BIN"), name) }
	ts.Defer(func() {
		_, _, _ = run(ts, []string{program("pg_ctl"), "stop", "-m", "immediate", "-D", data}) // it may be down
		_ = os.RemoveAll(dir)
	})
	// With checksums whatever the version's default is, and no locale of the machine.
	if out, complaint, status := run(ts, []string{program("initdb"), "--no-sync", "--data-checksums", "--no-locale", "-A", "trust", "-U", "postgres", "-D", data}); status != 0 {
		ts.Fatalf("initdb: %s%s", out, complaint)
	}
	for name, value := range map[string]string{"LAB": dir, "D1": data, "MC1": filepath.Join(dir, "mc"), "PORT1": freePort(ts), "ADMIN1": "127.0.0.1:" + freePort(ts)} {
		ts.Setenv(name, value)
	}
}

func freePort(ts *testscript.TestScript) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer ln.Close()
	return fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
}
