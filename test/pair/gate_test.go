package pair

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// changeHBA changes pg_hba.conf and asks nobody to read it.
func (s *stage) changeHBA(of pair.Server, change func(string) string) {
	s.Helper()
	path := filepath.Join(s.lab.Data(of), "pg_hba.conf")
	s.rewriteFile(path, change(read(s, path)))
}

// Behind its gate nobody could ever do anything, and the standby serves. Coming back as a
// standby it is told to be locked out, until somebody mends the file and reloads it.
func TestAPrimaryThatLocksItsSupervisorOutIsReplaced(t *testing.T) {
	s := newStage(t, lab.Options{})
	const line = "local all postgres reject\n"
	s.changeHBA(one, func(hba string) string { return line + hba })
	s.stopBehindOurBack(one)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	s.until("server1 says that it is locked out", one, func(st wire.Status) bool {
		return strings.Contains(st.Servers[0].Problem, "pg_hba.conf and pg_ident.conf and reload")
	})
	s.changeHBA(one, func(hba string) string { return strings.Replace(hba, line, "", 1) })
	signal(t, syscall.SIGHUP, s.lab.Pids().Servers[one].Postmaster)
	s.paired(two)
}

// The clients' line names a file beside it, lines for others come first, and one line is
// bad: the gate stays closed and the line is told, until it is mended.
func TestAGateOpensWhenPostgresTakesTheSitesFile(t *testing.T) {
	s := newStage(t, lab.Options{})
	const bad = "host nonsense\n"
	s.rewriteFile(filepath.Join(s.lab.Data(one), "clients"), "nobody\n")
	s.changeHBA(one, func(hba string) string {
		return "local all nobody scram-sha-256\nlocal all @clients reject\n" + hba + bad
	})
	s.mcctl("disable-failover", "-M", s.lab.Mcdir(one))
	s.kill(s.lab.Pids().Servers[one].Postmaster)
	s.until("the line is told", one, func(st wire.Status) bool {
		return st.Servers[0].Postgres == wire.ReportGated && strings.Contains(st.Servers[0].Problem, filepath.Join(s.lab.Data(one), "pg_hba.conf")+":")
	})
	s.changeHBA(one, func(hba string) string { return strings.Replace(hba, bad, "", 1) })
	s.until("it is open, and paired", one, func(st wire.Status) bool {
		return st.Servers[0].Postgres == wire.ReportOpen && st.Record.Primary == one && st.Record.Mode == pair.Paired
	})
	s.flowing()
	s.mcctl("enable-failover", "-M", s.lab.Mcdir(one))
	s.paired(one)
}

// PostgreSQL would not have started with that file but for the gate: the standby, which
// has everything, serves.
func TestAPrimaryWhoseGateCannotOpenIsReplaced(t *testing.T) {
	s := newStage(t, lab.Options{})
	const bad = "host nonsense\n"
	s.changeHBA(one, func(hba string) string { return hba + bad })
	s.stopBehindOurBack(one)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	s.changeHBA(one, func(hba string) string { return strings.Replace(hba, bad, "", 1) })
	s.paired(two)
}
