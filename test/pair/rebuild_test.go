package pair

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

// psql asks a server over its unix socket, as the supervisor's user.
func (s *stage) psql(of pair.Server, statements ...string) string {
	s.Helper()
	b, err := os.ReadFile(filepath.Join(s.lab.Data(of), "postmaster.pid"))
	if err != nil {
		s.Fatal(err)
	}
	lines := strings.Split(string(b), "\n") // port and socket directory are the 4th and 5th line
	args := []string{"-XAtq", "-h", lines[4], "-p", lines[3], "-U", "postgres", "-d", "postgres"}
	for _, one := range statements {
		args = append(args, "-c", one)
	}
	out, err := exec.Command(filepath.Join(s.lab.BinDir(), "psql"), args...).CombinedOutput()
	if err != nil {
		s.Fatalf("psql on %s: %v\n%s", of, err, out)
	}
	return strings.TrimSpace(string(out))
}

// rebuildOf is the newest rebuild as the server has it on disk.
func (s *stage) rebuildOf(of pair.Server) (job wire.RebuildJob) {
	var saved struct {
		Job wire.RebuildJob `json:"job"`
	}
	b, err := os.ReadFile(filepath.Join(s.lab.Mcdir(of), "rebuild.json"))
	if err == nil {
		_ = json.Unmarshal(b, &saved)
	}
	return saved.Job
}

// inPhase waits until a rebuild is in the phase, or past it.
func (s *stage) inPhase(of pair.Server, phase string) wire.RebuildJob {
	s.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		if job := s.rebuildOf(of); cameTo(job, phase) {
			return job
		}
	}
	s.Fatalf("the rebuild never came to %s: %+v", phase, s.rebuildOf(of))
	return wire.RebuildJob{}
}

func cameTo(job wire.RebuildJob, phase string) bool {
	return slices.ContainsFunc(job.Steps, func(step wire.JobStep) bool { return step.Phase == phase })
}

// ended waits for the end of the rebuild.
func (s *stage) ended(of pair.Server, id string) wire.RebuildJob {
	s.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(5 * time.Millisecond) {
		if job := s.rebuildOf(of); job.ID == id && job.Final {
			return job
		}
	}
	s.Fatalf("the rebuild never ended: %+v", s.rebuildOf(of))
	return wire.RebuildJob{}
}

// whileCopied waits until something is there while a server is copied. It tells whether that
// was not over before.
func (s *stage) whileCopied(of pair.Server, holds func() bool) bool {
	s.Helper()
	for began := time.Now(); time.Since(began) < patience && s.rebuildOf(of).Phase == wire.RebuildCopying; time.Sleep(time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}

// copierKilled ends the process that copies for a server, if there is one.
func (s *stage) copierKilled(of pair.Server) bool {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		b, _ := os.ReadFile(name)
		if strings.Contains(string(b), "pg_basebackup\x00") && strings.Contains(string(b), s.lab.Data(of)) {
			var pid int
			_, _ = fmt.Sscanf(name, "/proc/%d/", &pid)
			return syscall.Kill(pid, syscall.SIGKILL) == nil
		}
	}
	return false
}

// killed ends a process at once, and returns when it has gone: it does nothing more.
func (s *stage) killed(pid int) {
	s.Helper()
	s.kill(pid)
	for began := time.Now(); syscall.Kill(pid, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			s.Fatalf("process %d is still there", pid)
		}
	}
}

// meets tries to interrupt something in the middle of a step until that was met, so that
// what is counted was. Each try must end well, whether it came too late or not. A busy
// machine needs more of them for a short step, which are short themselves.
func (s *stage) meets(step string, try func() bool) {
	s.Helper()
	for began, tries := time.Now(), 0; tries < 6 || tries < 20 && time.Since(began) < 2*patience; tries++ {
		if try() {
			return
		}
		s.Logf("%s was over already: once more", step)
	}
	s.Errorf("%s was never met", step)
}

// A rebuild that an operator asked for ends well whatever dies at whatever step.
func TestARebuildCutOffAtAnyStepGoesOn(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.psql(one, "create table filler as select g, repeat(md5(g::text), 8) from generate_series(1, 20000) g")
	supervisor := func(pid int) bool {
		s.killed(pid)
		return true
	}
	copier := func(int) bool { return s.whileCopied(two, func() bool { return s.copierKilled(two) }) }
	cutNetwork := func(int) bool {
		return s.whileCopied(two, func() bool {
			return s.psql(one, "select count(pg_terminate_backend(pid)) from pg_stat_replication where application_name = 'mcctl_copy_server2'") != "0"
		})
	}
	whileEmptied := func(pid int) bool {
		return s.whileCopied(two, func() bool { return s.emptied(two) }) && supervisor(pid)
	}
	const cut, emptied = "connection of the copy cut", "supervisor killed, emptied"
	rebuilds, tries, kills := 0, 0, &fault.Counts{}
	for _, c := range []struct {
		what, phase string
		inPlace     bool
		interrupt   func(supervisor int) (done bool)
	}{
		{"supervisor killed", wire.RebuildWaiting, false, supervisor},
		{"supervisor killed", wire.RebuildStopping, false, supervisor},
		{"supervisor killed", wire.RebuildCopying, false, supervisor},
		{"supervisor killed", wire.RebuildSwapping, false, supervisor},
		{"supervisor killed", wire.RebuildStarting, false, supervisor},
		{"supervisor killed", wire.RebuildCopying, true, supervisor},
		{emptied, wire.RebuildCopying, true, whileEmptied},
		{"pg_basebackup killed", wire.RebuildCopying, false, copier},
		{"pg_basebackup killed", wire.RebuildCopying, true, copier},
		{cut, wire.RebuildCopying, false, cutNetwork},
	} {
		args := []string{"rebuild", "--way", "copy", "--yes", "--no-wait", "-M", s.lab.Mcdir(two)}
		if c.what == cut || c.what == emptied { // it must last long enough to be caught
			args = append(args, "--max-rate", "15M")
		}
		if c.inPlace {
			args = append(args, "--in-place")
		}
		s.meets(c.phase, func() bool {
			met, end := s.rebuildCutOff(c.phase, args, c.interrupt)
			if c.what == cut {
				met = met && end.Try > 1 // or nothing was left to be sent
			} else if met {
				kills.Add(stepOfRebuild(c.phase, c.inPlace))
			}
			rebuilds, tries = rebuilds+1, tries+end.Try
			t.Logf("%-27s %-9s in place %-5v: done after %4.1f s, copies begun %d, %s", c.what, c.phase, c.inPlace, end.Steps[len(end.Steps)-1].AtMS/1000, end.Try, end.Note)
			return met
		})
	}
	if n := s.psql(two, "select count(*) from filler"); n != "20000" {
		t.Errorf("the standby has %s rows of 20000", n)
	}
	if left, _ := filepath.Glob(s.lab.Data(two) + ".*"); len(left) > 1 { // the last old one may still be going
		t.Errorf("left behind: %v", left)
	}
	t.Logf("%d copies for %d rebuilds", tries, rebuilds)
	kills.Promised(t, "mcctl rebuild", "kill -9")
	s.bySitesCommand()
}

// stepOfRebuild is a phase by its name in docs/interruptions.md.
func stepOfRebuild(phase string, inPlace bool) string {
	if inPlace {
		return phase + ", in place"
	}
	return phase
}

// emptied tells that a server has no data.
func (s *stage) emptied(of pair.Server) bool {
	_, err := os.Lstat(filepath.Join(s.lab.Data(of), "PG_VERSION"))
	return errors.Is(err, fs.ErrNotExist)
}

// rebuildCutOff rebuilds server2, interrupts that in the phase, and waits for the good end.
// The phase was met if it still stands on the disk then.
func (s *stage) rebuildCutOff(phase string, args []string, interrupt func(supervisor int) (done bool)) (met bool, end wire.RebuildJob) {
	s.Helper()
	supervisor := s.lab.Pids().Servers[two].Supervisor
	s.mcctl(args...)
	job := s.inPhase(two, phase)
	met = interrupt(supervisor) && job.Phase == phase && s.rebuildOf(two).Phase == phase
	end = s.ended(two, job.ID)
	if end.Phase != wire.RebuildDone {
		s.Fatalf("cut off while %s, by %q: %+v", phase, args, end)
	}
	s.paired(one)
	return met, end
}

// bySitesCommand rebuilds by a program of the site.
func (s *stage) bySitesCommand() {
	s.Helper()
	mcdir := s.lab.Mcdir(two)
	script := filepath.Join(mcdir, "copy")
	text := fmt.Sprintf("#!/bin/sh\nenv > %s/env\nPGPASSFILE=%[1]s/pgpass exec %s/pg_basebackup -D \"$2\" -c fast -w -d 'host=127.0.0.1 port=%d user=mcctl_replication'\n",
		mcdir, s.lab.BinDir(), s.lab.ClientPort(one))
	conf, err := os.ReadFile(filepath.Join(mcdir, "pair.toml"))
	if err == nil {
		err = os.WriteFile(script, []byte(text), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(mcdir, "pair.toml"), fmt.Appendf(conf, "\n[policy]\nrebuild_command = [%q, \"--stanza=x\"]\nrejoin = []\n", script), 0o600)
	}
	if err != nil {
		s.Fatal(err)
	}
	s.mcctl("stop", "-M", mcdir)
	if out, err := exec.Command("find", s.lab.Data(two), "-mindepth", "1", "-delete").CombinedOutput(); err != nil {
		s.Fatalf("empty the data directory: %v\n%s", err, out)
	}
	out, err := s.try("start", "--timeout", "3s", "-M", mcdir)
	if err == nil || !strings.Contains(out, "policy.rejoin does not allow a rebuild: run mcctl rebuild") {
		s.Errorf("the start with an empty data directory: %v\n%s", err, out)
	}
	if out := s.mcctl("rebuild", "--yes", "-M", mcdir); !strings.Contains(out, "by policy.rebuild_command") || !strings.Contains(out, "why: the data directory is empty") {
		s.Errorf("the rebuild says\n%s", out)
	}
	s.paired(one)
	if env, err := os.ReadFile(filepath.Join(mcdir, "env")); err != nil || strings.Contains(string(env), "MCCTL") || strings.Contains(string(env), "PG_BIN") {
		s.Errorf("the command's environment: %v\n%s", err, env)
	}
}

// The rolling update's way: the standby is stopped, its directories are emptied but
// not deleted, and the start brings everything back, under load.
func TestAnEmptiedStandbyIsBroughtBackByStart(t *testing.T) {
	s := newStage(t, lab.Options{})
	outside := filepath.Join(s.lab.Dir, "outside")
	for _, dir := range []string{"theirs", "ours"} {
		if err := os.MkdirAll(filepath.Join(outside, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// On one machine the standby needs a place of its own for the tablespace.
	s.mcctl("stop", "-M", s.lab.Mcdir(two))
	s.psql(one, "create tablespace elsewhere location '"+filepath.Join(outside, "theirs")+"'", "create table spaced (n int) tablespace elsewhere", "insert into spaced values (42)")
	link := filepath.Join(s.lab.Data(two), "pg_tblspc", s.psql(one, "select oid from pg_tablespace where spcname = 'elsewhere'"))
	wal := filepath.Join(outside, "wal")
	for _, err := range []error{
		os.Symlink(filepath.Join(outside, "ours"), link),
		os.Rename(filepath.Join(s.lab.Data(two), "pg_wal"), wal), os.Symlink(wal, filepath.Join(s.lab.Data(two), "pg_wal")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.mcctl("start", "--mc-only", "-M", s.lab.Mcdir(two))
	s.mcctl("rebuild", "--way", "copy", "--yes", "-M", s.lab.Mcdir(two))
	s.paired(one)
	conf := unmanaged(s.conf(two))
	s.mcctl("stop", "-M", s.lab.Mcdir(two))
	for _, dir := range []string{s.lab.Data(two), filepath.Join(outside, "ours"), wal} {
		if out, err := exec.Command("find", dir, "-mindepth", "1", "-delete").CombinedOutput(); err != nil {
			t.Fatalf("empty %s: %v\n%s", dir, err, out)
		}
	}
	s.mcctl("start", "-f", "-M", s.lab.Mcdir(two))
	s.paired(one)
	if got := s.psql(two, "select n || pg_tablespace_location(oid) from spaced, pg_tablespace where spcname = 'elsewhere'"); got != "42"+filepath.Join(outside, "ours") {
		t.Errorf("the tablespace: %s", got)
	}
	if to, err := os.Readlink(filepath.Join(s.lab.Data(two), "pg_wal")); err != nil || to != wal {
		t.Errorf("pg_wal leads to %s, %v", to, err)
	}
	if now := unmanaged(s.conf(two)); now != conf {
		t.Errorf("postgresql.conf is\n%s\nand was\n%s", now, conf)
	}
	s.flowing()
	s.stranded()
}

// stranded takes the log away that the standby needs next. Only a copy helps, and
// policy.rejoin allows it.
func (s *stage) stranded() {
	s.Helper()
	before := s.rebuildOf(two).ID
	s.mcctl("stop", "-M", s.lab.Mcdir(two))
	s.psql(one, "alter system set wal_keep_size = 0", "select pg_reload_conf()", "select pg_drop_replication_slot('mcctl_server2')")
	for range 3 {
		s.psql(one, "create table if not exists t (n int); insert into t values (1)", "select pg_switch_wal()", "checkpoint")
	}
	s.mcctl("start", "-W", "-M", s.lab.Mcdir(two))
	s.paired(one)
	job := s.rebuildOf(two)
	if job.ID == before || !job.Automatic || job.Phase != wire.RebuildDone || !strings.Contains(job.Plan.Why, "has removed the log that comes after") {
		s.Errorf("the standby whose log had gone: %+v", job)
	}
}

// A plan changes nothing, and so does not end the walsender of a standby that streams.
func TestAPlanOfARebuildLeavesTheStreamAlone(t *testing.T) {
	s := newQuietStage(t, lab.Options{})
	before := s.lab.Pids().Servers[one].Walsender
	time.Sleep(3 * time.Second) // a younger one is left alone anyway
	s.mcctl("rebuild", "--dry-run", "-M", s.lab.Mcdir(two))
	time.Sleep(500 * time.Millisecond)
	if after := s.lab.Pids().Servers[one].Walsender; before == 0 || after != before {
		t.Errorf("the walsender was %d and is %d", before, after)
	}
}
