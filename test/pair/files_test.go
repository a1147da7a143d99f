package pair

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

const nonsense = "\nno_such_setting_at_all = 'x'\n"

// breakConf makes postgresql.conf one that no start accepts.
func (s *stage) breakConf(of pair.Server) {
	s.Helper()
	s.rewrite(of, func(conf string) string { return conf + nonsense })
}

func (s *stage) mendConf(of pair.Server) {
	s.Helper()
	s.rewrite(of, func(conf string) string { return strings.Replace(conf, nonsense, "", 1) })
}

func (s *stage) rewrite(of pair.Server, change func(string) string) {
	s.Helper()
	if err := durable.WriteFile(filepath.Join(s.lab.Data(of), "postgresql.conf"), []byte(change(s.conf(of))), 0o600); err != nil {
		s.Fatal(err)
	}
}

// stopBehindOurBack is what an operator should not do.
func (s *stage) stopBehindOurBack(of pair.Server) {
	s.Helper()
	out, err := exec.Command(filepath.Join(s.lab.BinDir(), "pg_ctl"), "stop", "-D", s.lab.Data(of), "-m", "fast").CombinedOutput()
	if err != nil {
		s.Fatalf("pg_ctl stop: %v\n%s", err, out)
	}
}

func (s *stage) writeCopy(of pair.Server, r record.Record) {
	s.Helper()
	path := filepath.Join(s.lab.Mcdir(of), "record.json")
	if err := durable.WriteJSON(path, r, 0o600); err != nil {
		s.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		s.Fatal(err)
	}
}
