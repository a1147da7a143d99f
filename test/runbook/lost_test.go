package runbook

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
)

const arbiter pair.Server = "arbiter"

// Hosts are lost one after the other, with all that was on them, and come back by the
// section of the page that tells what is left of them.
func TestLostHosts(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Options{})
	s.asInitMadeIt()
	page := s.load("lost-host.md")
	s.begin()
	s.execute(page.Of(""))
	s.execute(page.Of("Before it happens"))
	for _, lost := range []struct {
		host    pair.Server
		section string
	}{
		{two, "The standby's host is lost"},
		{arbiter, "The arbiter's host is lost"},
		{one, "A backup of the management directory is left"},
		{one, "Only ca is left"},
		{one, "Nothing is left"},
	} {
		s.probe.Mark(fmt.Sprintf("%s is lost: %s", lost.host, lost.section))
		s.lose(lost.host)
		s.flowing()
		s.execute(page.Of(lost.section))
		for _, server := range []pair.Server{one, two} { // a copy has its socket where the other server has it
			maps.Copy(s.variables[server], s.paths(server))
		}
	}
	s.judge(1, "server1 is lost: A backup")
}

// asInitMadeIt gives the lab's servers what mcctl init leaves in a management
// directory: that it was complete, and on the first one the authority.
func (s *stage) asInitMadeIt() {
	s.Helper()
	ca := filepath.Join(s.lab.Dir, "ca")
	for server, kind := range map[pair.Server]string{one: "first", two: "second"} {
		state := fmt.Sprintf(`{"kind":%q,"plan":{"pair":%q,"name":%q},"finished":true}`, kind, lab.PairName, server)
		if err := os.WriteFile(filepath.Join(s.lab.Mcdir(server), "init.json"), []byte(state), 0o600); err != nil {
			s.Fatal(err)
		}
		s.variables[server]["BACKUP"] = filepath.Join(s.clean, string(server)+".tar")
	}
	own := filepath.Join(s.lab.Mcdir(one), "ca")
	if err := errors.Join(os.CopyFS(own, os.DirFS(ca)), os.Chmod(filepath.Join(own, "ca.key"), 0o600)); err != nil { // a copy is readable to all
		s.Fatal(err)
	}
	s.variables[arbiter] = map[string]string{
		"MCCONTROLDIR": s.lab.ArbiterDir(), "OLD": filepath.Join(s.clean, "arbiter.old"), "PATH": s.variables[one]["PATH"],
	}
	c, err := config.Load(s.lab.Mcdir(two))
	if err != nil {
		s.Fatal(err)
	}
	here, there := c.Endpoint(two), c.Endpoint(one)
	maps.Copy(s.variables[two], map[string]string{
		"CA": ca, "OLD": filepath.Join(s.clean, "orders.old"), "WITNESS": c.Pair.Arbiter.Address,
		"ADMIN": here.Admin, "REPLICATION": here.Replication, "OTHERADMIN": there.Admin, "OTHERREPLICATION": there.Replication,
	})
}

// lose ends everything on a host and removes what it had. What root makes anew is there.
func (s *stage) lose(host pair.Server) {
	s.Helper()
	dirs := []string{s.variables[host]["MCCONTROLDIR"]}
	if host == arbiter {
		p := s.lab.Pids()
		s.kill(p.WitnessWatch, p.Witness)
	} else {
		s.die(host)
		dirs = append(dirs, s.lab.Data(host))
	}
	for _, dir := range dirs {
		err := os.RemoveAll(dir)
		for began := time.Now(); err != nil && time.Since(began) < time.Minute; { // a backend that is ending has written there once more
			time.Sleep(10 * time.Millisecond)
			err = os.RemoveAll(dir)
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	if err := os.Mkdir(dirs[0], 0o700); err != nil {
		s.Fatal(err)
	}
}
