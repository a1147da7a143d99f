package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A standby's libpq looks for its password as for a database "replication", and sends of
// its keywords no more than the server takes.
func TestReachAsLibpqDoes(t *testing.T) {
	in := newServer(t)
	hba := filepath.Join(in.Data, "pg_hba.conf")
	rules, err := os.ReadFile(hba)
	ok(t, err)
	ok(t, os.WriteFile(hba, append([]byte("host replication copier all scram-sha-256\n"), rules...), 0o600))
	start(t, in)
	ok(t, connect(t, in).EnsureReplicationRole(within(t), "copier", `n:e\w`))
	source := sourceOf(in, "check")
	source.User, source.Passfile = "copier", filepath.Join(t.TempDir(), "pass")
	line := strings.Replace(PassfileLine(source.Host, source.Port, source.User, `n:e\w`), ":*:", ":replication:", 1)
	ok(t, os.WriteFile(source.Passfile, []byte(line+"\n"), 0o600))
	source.Options += " ssl_min_protocol_version=TLSv1.2 gsslib=gssapi options='-c work_mem=1234kB' keepalives_idle=5"
	if _, err := source.Identify(within(t)); err != nil {
		t.Error(err)
	}
	if _, err := source.Reach(within(t)); err != nil {
		t.Error(err)
	}
	streams := source
	streams.Database = "" // from 17 on pg_receivewal looks for a database that is named, and not for "replication"
	if out, err := exec.Command(filepath.Join(in.Bin, "pg_receivewal"), "--create-slot", "--slot=a", "-w", "-d", streams.Conninfo()).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	conn, err := source.dial(within(t))
	ok(t, err)
	defer (&Session{conn: conn}).Close()
	var memory, name string
	ok(t, conn.QueryRow(within(t), "select current_setting('work_mem'), current_setting('application_name')").Scan(&memory, &name))
	if memory != "1234kB" || name != "check" {
		t.Errorf("work_mem is %s for %s", memory, name)
	}
}
