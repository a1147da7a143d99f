package pair

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

// afflicted is a pair whose server1 has a small disk of its own, and a fault that begins
// and ends.
func afflicted(t *testing.T) (s *stage, full, cut affliction) {
	t.Helper()
	return afflictedLab(t, lab.Options{})
}

func afflictedLab(t *testing.T, opt lab.Options) (s *stage, full, cut affliction) {
	t.Helper()
	disk := fault.NewDisk(t, 1500<<20) // a rebuild wants room for a gigabyte of log
	s = newStage(t, opt)
	s.mcctl("stop", "-a", "-M", s.lab.Mcdir(one))
	disk.Replace(s.lab.Dir + "/server1")
	for _, of := range []pair.Server{one, two} { // the command meets the full disk, not a switch because of it
		s.add(filepath.Join(s.lab.Mcdir(of), "pair.toml"), "\n[policy]\ndisk_low = \"0%\"\ndisk_critical = \"0%\"\n")
	}
	s.mcctl("start", "-M", s.lab.Mcdir(two))
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	s.paired(one)
	full = affliction{"full disk", disk.Fill, disk.Free, disk.Leave}
	cut = affliction{"network cut", func() { fault.Network(t, false) }, func() {
		fault.Network(t, true)
		time.Sleep(newsLasts)
	}, nil}
	return s, full, cut
}

// newsLasts is longer than heartbeat_timeout: a network that was gone for less is followed by
// a moment in which what was heard before it still counts, and then by a take-over where
// nothing was heard since.
const newsLasts = 2500 * time.Millisecond

type affliction struct {
	name       string
	begin, end func()
	leave      func(bytes int64) // instead of begin, where some of it can be left
}

// A rolling update meets a full disk at each of its steps, then a network that is gone.
// Each time it says so, and the next run goes on.
func TestARollingUpdateWithoutDiskOrNetworkGoesOn(t *testing.T) {
	beside(t)
	if !fault.Inside(t) {
		return
	}
	s, full, cut := afflicted(t)
	for _, f := range []affliction{full, cut} {
		c := &fault.Counts{}
		s.meets("a step of the update", func() bool { return s.updateAfflicted(f, c) })
		t.Logf("%s:%s", f.name, c)
		c.Promised(t, "mcctl rolling-update", f.name)
	}
}

// updateAfflicted brings updates to their end that were afflicted at each step, and the
// pair back. It tells whether each step was met, by now.
func (s *stage) updateAfflicted(f affliction, c *fault.Counts) (all bool) {
	s.Helper()
	s.paired(one)
	steps := []string{"check", "switch", "stop", "maintain", "start", "attach"}
	for _, step := range steps {
		if step == "switch" { // nothing was done yet, but by the pair itself
			s.reigns()
		}
		if s.updateWith(f, step) {
			c.Add(step)
		}
	}
	s.updated()
	s.reignsAgain(two)
	s.flowing()
	flags := []string{"--done", "--abort"}
	for _, flag := range flags { // server1 is the standby
		if s.byHandWith(f, flag) {
			c.Add(flag)
		}
	}
	s.reigns()
	if s.updateWith(f, "switch-back", "--switch-back") {
		c.Add("switch-back")
	}
	s.updated()
	s.reigns()
	s.flowing()
	return !c.Lacks(append(append(steps, flags...), "switch-back"))
}

// updated brings the update of server1 to its end, if it has not come there.
func (s *stage) updated() {
	s.Helper()
	for began := time.Now(); s.stepOnDisk() != "done"; time.Sleep(100 * time.Millisecond) {
		if out, err := s.try("rolling-update", "--yes", "--exec", "sleep 0.2", "-M", s.lab.Mcdir(one)); err != nil && time.Since(began) > patience {
			s.Fatalf("it never comes to its end: %v\n%s", err, out)
		}
	}
}

// byHandWith afflicts what comes after a maintenance by hand, --done or --abort, before it
// is called: it has met the fault if it fails. Then it is called once more.
func (s *stage) byHandWith(f affliction, flag string) (met bool) {
	s.Helper()
	var exit *exec.ExitError
	s.eventually("server1 is down for the maintenance", func() bool {
		_, err := s.try("rolling-update", "--yes", "-M", s.lab.Mcdir(one))
		return errors.As(err, &exit) && exit.ExitCode() == 3
	})
	f.begin()
	out, err := s.try("rolling-update", flag, "--timeout", stepTimeout, "-M", s.lab.Mcdir(one))
	f.end()
	s.Logf("%s at %s: %v\n%s", f.name, flag, err, out)
	s.clear(f, flag, out, err)
	if err != nil {
		s.again("rolling-update", flag)
	}
	s.reignsAgain(two)
	return err != nil
}

// stepTimeout is how long a step of an update may wait for what it has not got.
const stepTimeout = "4s"

// updateWith runs a rolling update until it begins a step, and afflicts it then. It must
// end with a clear word, unless it needs nothing of what it has not got. It tells whether
// the step was still that one, as it stands on the disk.
func (s *stage) updateWith(f affliction, step string, flags ...string) (met bool) {
	s.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		cmd := exec.Command(s.lab.Mcctl(), append([]string{"rolling-update", "--yes", "-o", "json", "--exec", "sleep 0.2", "--timeout", stepTimeout, "-M", s.lab.Mcdir(one)}, flags...)...)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			s.Fatal(err)
		}
		seen := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e struct{ Event, Step string }
			if json.Unmarshal(lines.Bytes(), &e) == nil && e.Event == "step" && e.Step == step && !seen {
				seen = true
				f.begin()
				met = s.stepOnDisk() == step
			}
		}
		err = cmd.Wait()
		f.end()
		text := said.String()
		if seen {
			s.Logf("%s at %-9s, met %t: %v\n%s", f.name, step, met, err, text)
			s.clear(f, step, text, err)
			return met
		}
		if time.Since(began) > patience {
			s.Fatalf("the update never came to %s: %v\n%s", step, err, text)
		}
	}
}

// stepOnDisk is where the rolling update of server1 is, or "".
func (s *stage) stepOnDisk() string {
	var saved struct{ Step string }
	b, err := os.ReadFile(filepath.Join(s.lab.Mcdir(one), "rolling-update.json"))
	if err == nil {
		_ = json.Unmarshal(b, &saved)
	}
	return saved.Step
}

// clear is an end that says what happened and how to go on.
func (s *stage) clear(f affliction, step, text string, err error) {
	s.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case !errors.As(err, &exit) || exit.ExitCode() != 1 && exit.ExitCode() != 4:
		s.Errorf("%s at %s: it ended with %v\n%s", f.name, step, err, text)
	case !strings.Contains(text, "mcctl: rolling-update: in step ") || !strings.Contains(text, "go on: mcctl rolling-update -M "):
		s.Errorf("%s at %s: it does not say where it was and how to go on:\n%s", f.name, step, text)
	}
}

// again asks until it is done.
func (s *stage) again(command ...string) {
	s.Helper()
	var out string
	var err error
	for began := time.Now(); time.Since(began) < patience; time.Sleep(100 * time.Millisecond) {
		if out, err = s.try(append(command, "-M", s.lab.Mcdir(one))...); err == nil {
			return
		}
	}
	s.Fatalf("%q is never done: %v\n%s", command, err, out)
}

// detached waits until the primary holds the other server off: server1, or server2 if a
// network that was gone has made it that.
func (s *stage) detached() {
	s.Helper()
	s.until("detached", one, func(st wire.Status) bool {
		if st.Record.Primary == two {
			st, _ = s.status(two)
		}
		return st.Record.Mode == pair.Alone && st.Held
	})
}

// reigns makes server1 the primary, if a network that was gone has made server2 it.
func (s *stage) reigns() {
	s.Helper()
	s.whole()
	s.until("the pair is whole under server1", one, func(st wire.Status) bool {
		switch {
		case st.Held: // see whole
			_, _ = s.try("attach", "-M", s.lab.Mcdir(one))
		case st.Healthy && st.Record.Primary == two:
			_, _ = s.try("switch", "-M", s.lab.Mcdir(one))
		}
		return st.Healthy && st.Record.Primary == one
	})
}

// whole waits until the pair is. A detach that was under way when the network went may
// arrive when it is back.
func (s *stage) whole() {
	s.Helper()
	s.until("the pair is whole", two, func(st wire.Status) bool {
		if st.Held {
			_, _ = s.try("attach", "-M", s.lab.Mcdir(two))
		}
		return st.Healthy
	})
}

// reignsAgain waits until the pair is whole with that primary. A network that goes while it
// is paired, as before a rebuild has begun, may let the standby take over when it is back.
func (s *stage) reignsAgain(primary pair.Server) {
	s.Helper()
	st := s.until("the pair is whole", primary, func(st wire.Status) bool { return st.Healthy })
	if now := st.Record.Primary; now != primary {
		s.mcctl("switch", "-M", s.lab.Mcdir(now))
	}
	s.paired(primary)
}

// add puts text at the end of a file.
func (s *stage) add(path, text string) {
	s.Helper()
	was, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(was, text...), 0o600)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// A rebuild meets a full disk on the standby, or a network that is gone, at any of its
// steps. One that could not go on says why; then the old data serves, and where that was
// given up the supervisor copies again.
func TestARebuildWithoutDiskOrNetwork(t *testing.T) {
	beside(t)
	if !fault.Inside(t) {
		return
	}
	s, full, cut := afflicted(t)
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.paired(two)
	s.psql(two, "create table filler as select g, repeat(md5(g::text), 8) from generate_series(1, 20000) g")
	for _, f := range []affliction{full, cut} {
		c := &fault.Counts{}
		for _, step := range []struct {
			phase   string
			inPlace bool
		}{
			{wire.RebuildWaiting, false},
			{wire.RebuildStopping, false},
			{wire.RebuildCopying, false},
			{wire.RebuildStarting, false},
			{wire.RebuildCopying, true},
		} {
			name := stepOfRebuild(step.phase, step.inPlace)
			s.meets(name, func() bool {
				met := s.rebuildAfflicted(f, step.phase, step.inPlace)
				if met {
					c.Add(name)
				}
				return met
			})
		}
		t.Logf("%s:%s", f.name, c)
		c.Promised(t, "mcctl rebuild", f.name)
	}
	if n := s.psql(one, "select count(*) from filler"); n != "20000" {
		t.Errorf("the standby has %s rows of 20000", n)
	}
}

// rebuildAfflicted rebuilds server1, and afflicts that in the phase; a copy in place when the
// old data has gone. It tells whether it was in the phase, as it stands on the disk.
func (s *stage) rebuildAfflicted(f affliction, phase string, inPlace bool) (met bool) {
	s.Helper()
	args := []string{"rebuild", "--way", "copy", "--yes", "--no-wait", "--max-rate", "15M", "-M", s.lab.Mcdir(one)}
	if inPlace {
		args = append(args, "--in-place")
	}
	s.mcctl(args...)
	job := s.inPhase(one, phase)
	if inPlace {
		s.whileCopied(one, func() bool { return s.emptied(one) }) // or that is not met
	}
	f.begin()
	met = job.Phase == phase && s.rebuildOf(one).Phase == phase && s.emptied(one) == inPlace
	time.Sleep(3 * time.Second)
	if inPlace && cameTo(s.rebuildOf(one), wire.RebuildStarting) { // it came when all was copied but for the end
		met = false
	}
	if inPlace && met {
		s.saysItIsNotWhole(one)
	}
	f.end()
	if inPlace {
		s.madeWhole(f, job.ID)
		return met
	}
	end := s.ended(one, job.ID)
	s.Logf("%s while %-9s: %s %s", f.name, phase, end.Phase, end.Error)
	if end.Phase != wire.RebuildDone && end.Error == "" {
		s.Errorf("%s while %s: %+v", f.name, phase, end)
	}
	s.reignsAgain(two) // where the rebuild failed the old data serves
	s.flowing()
	return met
}

// madeWhole waits until server1 has its data again: by the rebuild that was afflicted, or by
// one that the supervisor has begun by itself. Where all was copied before, PostgreSQL has
// only to be started again.
func (s *stage) madeWhole(f affliction, afflicted string) {
	s.Helper()
	s.reignsAgain(two)
	s.flowing()
	var last wire.RebuildJob
	s.eventually("the rebuild has ended", func() bool { last = s.rebuildOf(one); return last.Final })
	s.Logf("%s in place: %s, begun by the supervisor itself: %t", f.name, last.Phase, last.Automatic)
	copied := last.Phase == wire.RebuildDone || cameTo(last, wire.RebuildStarting)
	if !copied || last.Automatic != (last.ID != afflicted) {
		s.Errorf("%s in place: the last rebuild is %+v, and %s was afflicted", f.name, last, afflicted)
	}
}

// saysItIsNotWhole asks a server whose data is gone how it stands.
func (s *stage) saysItIsNotWhole(of pair.Server) {
	s.Helper()
	if out, err := s.try("status", "--check", "-M", s.lab.Mcdir(of)); err == nil {
		s.Errorf("all is well without data:\n%s", out)
	}
	out, err := s.try("rebuild", "--status", "-M", s.lab.Mcdir(of))
	if err == nil || !strings.Contains(out, " (copy") {
		s.Errorf("without data the rebuild says: %v\n%s", err, out)
	}
	s.Logf("meanwhile: %s", out)
}
