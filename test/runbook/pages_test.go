package runbook

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
)

// Every page is executed by one of the tests of this package.
func TestEveryPageIsExecuted(t *testing.T) {
	entries, err := os.ReadDir(pages)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	executed := []string{
		"after-failover.md", "guided-update.md", "lost-host.md", "moving-postgresql-conf.md", "moving-the-arbiter.md", "rebuild-from-backups.md", "rebuild.md", "rolling-update-new-disk.md", "rolling-update.md", "without-arbiter.md",
	}
	if !slices.Equal(found, executed) {
		t.Errorf("docs/runbooks has %q; write a test that executes the page and add it here: %q", found, executed)
	}
}

// die ends everything of a server at once, as a power cut does.
func (s *stage) die(server pair.Server) {
	s.Helper()
	p := s.lab.Pids().Servers[server]
	s.kill(p.Watch, p.Supervisor, p.Postmaster)
}

func TestAfterAFailoverAndRebuild(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Options{})
	before := s.confs()
	s.begin()
	s.probe.Mark("power cut")
	s.die(one)
	s.flowing()
	s.execute(s.load("after-failover.md"))
	s.execute(s.load("rebuild.md"))
	s.judge(2, "power cut", "mcctl switch")
	s.sameConfs(before)
}

func TestWithoutAnArbiter(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Options{Arbiter: "none"})
	before := s.confs()
	s.begin()
	s.probe.Mark("power cut")
	s.die(one)
	s.execute(s.load("without-arbiter.md"))
	r, err := s.probe.Stop() // how long clients waited was up to the operator
	if err != nil || !r.Safe() {
		t.Errorf("writers: %v, %s", err, r.Verdict())
	}
	s.sameConfs(before)
}

// Clients go on while the arbiter is replaced four times, once because it is gone, and pair.toml comes back as it was.
func TestMovingTheArbiter(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Options{Arbiter: "none", Spare: true})
	var before []string
	for _, server := range []pair.Server{one, two} {
		s.variables[server]["WITNESS"] = s.lab.WitnessAddress()
		s.variables[server]["ETCD"] = strings.Join(s.lab.EtcdEndpoints(), ",")
		before = append(before, s.read(filepath.Join(s.lab.Mcdir(server), "pair.toml")))
	}
	s.begin()
	page := s.load("moving-the-arbiter.md")
	gone := slices.IndexFunc(page.Blocks, func(b Block) bool { return b.Section == "When the old arbiter is gone for good" })
	if gone < 0 {
		t.Fatal("the page has no section on an arbiter that is gone for good")
	}
	s.execute(Page{Name: page.Name, Blocks: page.Blocks[:gone]})
	s.kill(s.lab.Pids().Etcd...)
	for _, server := range []pair.Server{one, two} {
		if out, err := s.shell(server, "timeout 60 sh -c \"until mcctl status | grep ', not reached'; do sleep 0.1; done\"\n"); err != nil {
			t.Fatalf("etcd is not missed: %v\n%s", err, out)
		}
	}
	s.execute(Page{Name: page.Name, Blocks: page.Blocks[gone:]})
	s.judge(0)
	for i, server := range []pair.Server{one, two} {
		if now := s.read(filepath.Join(s.lab.Mcdir(server), "pair.toml")); now != before[i] {
			t.Errorf("pair.toml of %s is\n%s\nand was\n%s", server, now, before[i])
		}
	}
}

// The files are the same at the new place, but for the lines that say where they are.
func TestMovingPostgresqlConf(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Options{})
	before := s.confs()
	for _, server := range []pair.Server{one, two} {
		dir := filepath.Join(s.lab.Dir, string(server), "etc") // which the page makes
		s.variables[server]["NEW"] = dir
		before[server] += strings.NewReplacer("DATA", s.lab.Data(server), "DIR", dir).
			Replace("\ndata_directory = 'DATA'\nhba_file = 'DIR/pg_hba.conf'\nident_file = 'DIR/pg_ident.conf'\n")
	}
	s.begin()
	s.execute(s.load("moving-postgresql-conf.md"))
	s.judge(1, "mcctl switch")
	for _, server := range []pair.Server{one, two} {
		s.variables[server]["CONF"] = filepath.Join(s.variables[server]["NEW"], "postgresql.conf")
	}
	s.sameConfs(before)
}
