package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// What a server logs that samples transactions is decided before a statement can ask it not
// to, and pg_stat_statements keeps what it is told.
func TestThePasswordOfAReplicationRoleIsNotTold(t *testing.T) {
	in := newServer(t)
	in.LogFile = filepath.Join(t.TempDir(), "log")
	configure(t, in, "log_transaction_sample_rate = 1", "password_encryption = md5")
	hba := filepath.Join(in.Data, "pg_hba.conf")
	rules, err := os.ReadFile(hba)
	ok(t, err)
	ok(t, os.WriteFile(hba, append([]byte("local all copier scram-sha-256\n"), rules...), 0o600))
	start(t, in)
	s := connect(t, in)
	for _, password := range []string{"the first 'secret'", "another$secret"} { // made, then changed
		ok(t, s.EnsureReplicationRole(within(t), "copier", password))
		config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d user=copier dbname=postgres", in.Socket, in.Port))
		ok(t, err)
		config.Password = password
		conn, err := pgx.ConnectConfig(within(t), config)
		ok(t, err)
		t.Cleanup((&Session{conn: conn}).Close)
		config.Password += "x"
		if _, err := pgx.ConnectConfig(within(t), config); err == nil {
			t.Error("another password is good as well")
		}
	}
	log, err := os.ReadFile(in.LogFile)
	ok(t, err)
	if !strings.Contains(string(log), "ROLE") {
		t.Errorf("the log has no sample of the statement:\n%s", log)
	}
	if strings.Contains(string(log), "secret") {
		t.Errorf("the log has the password:\n%s", log)
	}
	if err := s.EnsureReplicationRole(within(t), "copier", "pässword"); err == nil {
		t.Error("a password that SASLprep may change was taken")
	}
}
