package pair

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/pgconf"
	"mcctl/pkg/wire"
)

const names = "synchronous_standby_names"

// Packages for Debian keep the configuration apart from the data, and sites put what
// they add into conf.d. The managed line stays where the site has it, through detach,
// attach and switch, and whoever meddles with it is noticed.
func TestConfigurationApartFromTheDataAsOnDebian(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("stop", "-a", "-M", s.lab.Mcdir(one))
	s.moveConfiguration(one, two)
	s.moveConfiguration(two, one)
	s.mcctl("start", "-W", "-M", s.lab.Mcdir(two))
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	s.paired(one)
	before := map[pair.Server]map[string]string{one: s.etc(one), two: s.etc(two)}
	if got := s.psql(one, "select sourcefile from pg_settings where name = '"+names+"'"); got != s.confD(one) {
		t.Errorf("%s is in force by %q", names, got)
	}

	s.mcctl("detach", "-M", s.lab.Mcdir(one))
	s.flowing()
	was, now := before[one], s.etc(one)
	if now[s.confD(one)] != strings.Replace(was[s.confD(one)], names, "#"+names, 1) || unmanaged(now[s.main(one)]) != unmanaged(was[s.main(one)]) {
		t.Errorf("detached:\n%s", changes(was, now))
	}
	s.mcctl("attach", "-M", s.lab.Mcdir(one))
	s.paired(one)
	for server, was := range before {
		if now := s.etc(server); !maps.Equal(now, was) {
			t.Errorf("detach and attach changed files of %s:\n%s", server, changes(was, now))
		}
	}

	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.paired(two)
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.paired(one)
	s.flowing()
	for server, was := range before {
		for path, text := range s.etc(server) {
			if unmanaged(text) != unmanaged(was[path]) || path == s.confD(server) && text != was[path] {
				t.Errorf("two switches changed %s:\n%s", path, pgconf.Diff(path, []byte(was[path]), []byte(text)))
			}
		}
	}
	s.meddle()
}

// meddle does behind mcctl's back what people do.
func (s *stage) meddle() {
	s.Helper()
	calm := s.etc(one)
	inForce := func() bool { return s.psql(one, "show "+names) == "server2" }
	restored := func(what string, by func() bool) {
		s.Helper()
		for began := time.Now(); !by(); time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > patience {
				s.Fatalf("%s was not put right", what)
			}
		}
		s.paired(one)
	}

	s.psql(one, "alter system set "+names+" = '*'")
	s.psql(one, "select pg_reload_conf()")
	auto := filepath.Join(s.lab.Data(one), "postgresql.auto.conf")
	restored("ALTER SYSTEM", func() bool { return strings.Contains(read(s, auto), "\n#"+names+" = '*'\n") && inForce() })
	s.told(auto + ":3: ALTER SYSTEM has set " + names + " to '*'")

	s.rewriteFile(s.confD(one), strings.Replace(calm[s.confD(one)], "server2", "nobody", 1))
	s.psql(one, "select pg_reload_conf()")
	restored("the managed line", func() bool { return maps.Equal(s.etc(one), calm) && inForce() })
	s.told(s.confD(one) + ":2: " + names + " says 'nobody' and is to be 'server2'")

	// A broken line makes PostgreSQL refuse every reload. The pair stays as it is, but no
	// server could take the other role and keep it.
	broken := filepath.Join(filepath.Dir(s.confD(one)), "zz-site.conf")
	s.rewriteFile(broken, "work_mem = 4 MB\n")
	s.psql(one, "select pg_reload_conf()")
	warned := func(st wire.Status) bool {
		return len(st.Warnings) == 1 && strings.Contains(st.Warnings[0], broken+":1: syntax error")
	}
	s.until("the broken line is told", one, func(st wire.Status) bool { return warned(st) && !st.Healthy && st.Record.Mode == pair.Paired })
	s.flowing()
	// Nothing can be released while it is there; that is an error with the line's place.
	out, err := s.try("detach", "-M", s.lab.Mcdir(one))
	if err == nil || !strings.Contains(out, "but commits still wait for it") || !strings.Contains(out, broken+":1: syntax error") {
		s.Errorf("detach beside a broken line: %v\n%s", err, out)
	}
	s.told("PostgreSQL refuses all of its configuration files until this is mended: " + broken + ":1: syntax error")
	s.rewriteFile(broken, "work_mem = '4MB'\n")
	s.flowing()
	s.mcctl("attach", "-M", s.lab.Mcdir(one))
	st := s.paired(one)
	s.until("nothing is told any more", one, func(st wire.Status) bool { return len(st.Warnings) == 0 })
	s.told("mended: PostgreSQL refuses to reload")
	if st.Record.Term != 3 {
		s.Errorf("meddling made a failover: %s", st.Record)
	}
}

// moveConfiguration puts a server's configuration beside its data, as packagers do,
// with the managed line in conf.d.
func (s *stage) moveConfiguration(of, other pair.Server) {
	s.Helper()
	data, etc := s.lab.Data(of), filepath.Dir(s.main(of))
	if err := os.MkdirAll(filepath.Dir(s.confD(of)), 0o700); err != nil {
		s.Fatal(err)
	}
	for _, name := range []string{"postgresql.conf", "pg_hba.conf", "pg_ident.conf"} {
		if err := os.Rename(filepath.Join(data, name), filepath.Join(etc, name)); err != nil {
			s.Fatal(err)
		}
	}
	conf := strings.ReplaceAll(read(s, s.main(of)), names+" = '"+string(other)+"'", names+" = ''")
	if !strings.Contains(conf, "#"+names) {
		conf = strings.ReplaceAll(conf, names, "#"+names)
	}
	s.rewriteFile(s.main(of), conf+fmt.Sprintf("data_directory = %s\nhba_file = %s\nident_file = %s\ninclude_dir 'conf.d'",
		pgconf.Quote(data), pgconf.Quote(etc+"/pg_hba.conf"), pgconf.Quote(etc+"/pg_ident.conf")))
	s.rewriteFile(s.confD(of), "# replication\r\n"+names+"\t'"+string(other)+"'\t# the other server\r\n")
	toml := filepath.Join(s.lab.Mcdir(of), "server.toml")
	s.rewriteFile(toml, fmt.Sprintf("config_file = %q\nhba_file = %q\nident_file = %q\n", s.main(of), etc+"/pg_hba.conf", etc+"/pg_ident.conf")+read(s, toml))
}

func (s *stage) main(of pair.Server) string {
	return filepath.Join(filepath.Dir(s.lab.Data(of)), "etc", "main", "postgresql.conf")
}

func (s *stage) confD(of pair.Server) string {
	return filepath.Join(filepath.Dir(s.main(of)), "conf.d", "50-replication.conf")
}

// etc is the content of all configuration files of a server.
func (s *stage) etc(of pair.Server) map[string]string {
	s.Helper()
	files := map[string]string{}
	for _, pattern := range []string{"*.conf", "conf.d/*"} {
		paths, err := filepath.Glob(filepath.Join(filepath.Dir(s.main(of)), pattern))
		if err != nil {
			s.Fatal(err)
		}
		for _, path := range paths {
			files[path] = read(s, path)
		}
	}
	return files
}

// changes shows what is different in files.
func changes(was, now map[string]string) (diff string) {
	for path := range now {
		diff += pgconf.Diff(path, []byte(was[path]), []byte(now[path]))
	}
	return diff
}

func read(s *stage, path string) string {
	s.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	return string(b)
}

func (s *stage) rewriteFile(path, text string) {
	s.Helper()
	if err := durable.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// told waits until the events of server1 say something.
func (s *stage) told(text string) {
	s.Helper()
	path := filepath.Join(s.lab.Mcdir(one), "log", "events.jsonl")
	for began := time.Now(); !strings.Contains(read(s, path), text); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > patience {
			s.Fatalf("the events do not say %q:\n%s", text, read(s, path))
		}
	}
}
