package pair

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

// moveUntil repeats the command, as an operator would, until it has done what was asked.
func (s *stage) moveUntil(on pair.Server, kind string) {
	s.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		out, err := s.try(s.moving(on, kind)...)
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			s.Fatalf("the arbiter is not %s: %v\n%s", kind, err, out)
		}
	}
}

// journal is what a server's journal has told since it had so many bytes.
func (s *stage) journal(of pair.Server, since int64) []byte {
	s.Helper()
	f, err := os.Open(filepath.Join(s.lab.Mcdir(of), "log", "events.jsonl"))
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, since, math.MaxInt64-since))
	if err != nil {
		s.Fatal(err)
	}
	return b
}

// journalEnd is how many it has.
func (s *stage) journalEnd(of pair.Server) int64 {
	s.Helper()
	return int64(len(s.journal(of, 0)))
}

// moveSteps are what the journal of the primary has told of moves since then, the last one
// last. It is the primary's supervisor that carries a move.
func (s *stage) moveSteps(since int64) (steps []string) {
	s.Helper()
	for line := range strings.Lines(string(s.journal(one, since))) {
		var e struct{ Text string }
		if json.Unmarshal([]byte(line), &e) == nil && strings.HasPrefix(e.Text, "move of the arbiter: ") {
			steps = append(steps, strings.TrimPrefix(e.Text, "move of the arbiter: "))
		}
	}
	return steps
}

// beginMove starts one, and returns when the journal has told so many of its steps, with
// the last of them. One that is refused, since a server is busy, is asked for again.
func (s *stage) beginMove(args []string, steps int) (m *aCommand, last string) {
	s.Helper()
	before := s.journalEnd(one)
	m = s.start(args)
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if told := s.moveSteps(before); len(told) >= steps {
			return m, stepOfMove(told[len(told)-1])
		}
		if m.under() {
			continue
		}
		if time.Since(began) > patience {
			s.Fatalf("the move never began: %v\n%s", m.err, &m.said)
		}
		before = s.journalEnd(one)
		m = s.start(args)
	}
}

// movesSteps are the steps of a move by their names in docs/interruptions.md. Where there
// is no old record to be closed, the turn of a server comes in its place.
var movesSteps = []string{"checked", "prepared on both servers", "the primary is alone", "the old record is closed, or a server has turned"}

func stepOfMove(told string) string {
	switch {
	case strings.HasSuffix(told, " turns to the new arbiter"), told == "the record of the old arbiter is closed":
		return movesSteps[3]
	case strings.HasSuffix(told, " is alone, and nobody may take over"):
		return movesSteps[2]
	}
	return told
}

// victim is what is killed in the middle of a move, by its name.
type victim struct {
	name string
	pid  func(lab.Pids) int // 0 for the command
}

func theSupervisor(of pair.Server) victim { // its watch starts another one
	return victim{"the supervisor of " + string(of), func(p lab.Pids) int { return p.Servers[of].Supervisor }}
}

var (
	theCommand   = victim{"the command", func(lab.Pids) int { return 0 }}
	theWitness   = victim{"the witness", func(p lab.Pids) int { return p.Witness }} // likewise
	anEtcdMember = victim{"a member of etcd", func(p lab.Pids) int { return p.Etcd[0] }}
)

// Whatever is killed, and at whichever of its steps a move is: clients write on, the same
// command goes on, and nothing is lost. The primary never changes, since nobody may take
// over while two arbiters could.
func TestAMoveOfTheArbiterThatIsKilledGoesOn(t *testing.T) {
	s := newMoveStage(t, "none")
	kinds := []string{"witness", "etcd", "none"}
	now, c := 0, &fault.Counts{}
	for _, v := range []victim{theCommand, theSupervisor(one), theSupervisor(two), theWitness, anEtcdMember} {
		for i, want := range movesSteps {
			s.meets(want, func() bool {
				kind := kinds[now%len(kinds)]
				now++
				step, under := s.moveKilled(v, []pair.Server{one, two}[now%2], kind, i+1)
				if under {
					c.Add(step)
				}
				return step == want && under
			})
		}
	}
	if st := s.paired(one); st.Record.Term != 1 {
		t.Errorf("the reign changed: %s", st.Record)
	}
	t.Logf("killed after:%s", c)
	c.Promised(t, "mcctl arbiter move", "kill -9")
}

// moveKilled moves the arbiter, and kills something when so many steps were told. It tells
// the last of them, and whether the command had not ended by then.
func (s *stage) moveKilled(v victim, on pair.Server, kind string, steps int) (step string, under bool) {
	s.Helper()
	s.flowing()
	pid := v.pid(s.lab.Pids())
	m, step := s.beginMove(append(s.moving(on, kind), "--timeout", "30s"), steps)
	if pid == 0 {
		under = m.kill()
	} else {
		under = m.under()
		s.killed(pid)
		<-m.ended
	}
	s.Logf("to %s, %s killed after: %s: %v", kind, v.name, step, m.err)
	s.moveUntil(one, kind)
	s.uses(kind, one)
	if v.name == anEtcdMember.name {
		s.startEtcd(0)
	}
	return step, under
}

// A move meets a full disk on the primary's server, or a network that is gone: before it is
// asked for, and at any of its steps. It says so; when that is over the same command goes
// on, and every byte of pair.toml is one of the two that it may be.
func TestAMoveOfTheArbiterWithoutDiskOrNetwork(t *testing.T) {
	beside(t)
	if !fault.Inside(t) {
		return
	}
	s, full, cut := afflictedLab(t, lab.Options{Spare: true})
	kinds := []string{"etcd", "none", "witness"}
	files := map[string]bool{}
	for _, kind := range kinds {
		s.move(one, kind)
		s.uses(kind, one)
		files[s.pairFile(one)] = true
	}
	now := 0
	for _, f := range []affliction{full, cut} {
		c := &fault.Counts{}
		for steps, want := range append([]string{""}, movesSteps[:3]...) { // the first one before the command is called
			s.meets(want, func() bool {
				kind := kinds[now%len(kinds)]
				now++
				step, under := s.moveAfflicted(f, kind, steps, files)
				if under && step != "" {
					c.Add(step)
				}
				return step == want && under
			})
		}
		t.Logf("%s after:%s", f.name, c)
		c.Promised(t, "mcctl arbiter move", f.name)
	}
}

// moveAfflicted moves the arbiter; the fault begins when so many steps were told, 0 for
// before the command is called. It tells the last of them, and whether the command had not
// ended by then.
func (s *stage) moveAfflicted(f affliction, kind string, steps int, files map[string]bool) (step string, under bool) {
	s.Helper()
	args := append(s.moving(one, kind), "--timeout", "20s")
	var m *aCommand
	if steps == 0 {
		f.begin()
		m = s.start(args)
		under = true
	} else {
		m, step = s.beginMove(args, steps)
		under = m.under()
		f.begin()
	}
	time.Sleep(3 * time.Second)
	if text := s.pairFile(one); !files[text] {
		s.Errorf("in the middle pair.toml is\n%s", text)
	}
	f.end()
	<-m.ended
	s.Logf("%s after %q, to %s: %v\n%s", f.name, step, kind, m.err, &m.said)
	if m.err != nil && !strings.Contains(m.said.String(), "mcctl: ") {
		s.Errorf("%s after %q: nothing is said: %v", f.name, step, m.err)
	}
	s.whole()
	s.moveUntil(one, kind)
	s.reigns()
	s.uses(kind, one)
	s.flowing()
	return step, under
}

// A move whose command is killed once the record is closed needs nobody: the supervisors
// finish it. Here the standby's is frozen, so that the move is caught half way.
func TestAMoveThatIsHalfDoneIsFinishedByTheSupervisors(t *testing.T) {
	s := newMoveStage(t, "witness")
	s.uses("witness", one)
	frozen := s.lab.Pids().Servers[two].Supervisor
	m, step := s.beginMove(s.moving(one, "etcd"), 3)
	t.Logf("server1 uses etcd or is about to: %s", step)
	if err := syscall.Kill(frozen, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	s.kill(s.lab.Pids().Servers[one].Supervisor)
	t.Logf("the command was killed: %t; it had said:\n%s", m.kill(), &m.said)
	s.flowing()
	if err := syscall.Kill(frozen, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	st := s.until("both servers go by the same arbiter", one, func(st wire.Status) bool {
		return st.Healthy && st.Servers[0].Arbiter == st.Servers[1].Arbiter
	})
	t.Logf("ended with %s", st.Arbiter.Kind)
	s.moveUntil(two, "etcd")
	s.uses("etcd", one)
}

// A server that goes down in the middle of a move finds its arbiter closed. It comes up all
// the same, and learns from the other one what came after.
func TestAServerThatDiesInAMoveStarts(t *testing.T) {
	s := newMoveStage(t, "witness")
	s.uses("witness", one)
	p := s.lab.Pids().Servers[two]
	m, step := s.beginMove(append(s.moving(one, "none"), "--timeout", "3s"), 3)
	s.kill(p.Watch, p.Supervisor)
	<-m.ended
	t.Logf("it died after: %s; the command: %v", step, m.err)
	s.mcctl("start", "-M", s.lab.Mcdir(two))
	s.moveUntil(one, "none")
	s.uses("none", one)
}

// The old witness is dead for good. Without a word of the operator nothing is done; with
// it the pair goes on with the new arbiter, and fails over by it.
func TestAMoveAwayFromAWitnessThatIsGone(t *testing.T) {
	s := newMoveStage(t, "witness")
	s.endWitness()
	before := s.pairFile(one) + s.pairFile(two)
	for _, more := range [][]string{nil, {"--old-is-gone"}} {
		out, err := s.try(append(s.moving(two, "etcd"), more...)...)
		if status := exitStatus(err); status != 4 {
			t.Errorf("with %q: status %d\n%s", more, status, out)
		}
	}
	if s.pairFile(one)+s.pairFile(two) != before {
		t.Error("what was refused has changed pair.toml")
	}
	s.flowing()
	s.leavesTheGone("etcd")
}

// An arbiter that answers is not gone, whatever the operator says; one that does not
// answer is not moved to; and one that holds a record of the pair may be in use. Nor is
// anything closed before it is known that pair.toml can be written.
func TestMovesThatAreRefused(t *testing.T) {
	s := newMoveStage(t, "none")
	s.move(one, "witness")
	s.uses("witness", one)
	before := s.pairFile(one) + s.pairFile(two)
	for name, args := range map[string][]string{
		"it is not gone":      append(s.moving(one, "etcd"), "--old-is-gone", "--yes"),
		"nobody listens":      {"arbiter", "move", "-M", s.lab.Mcdir(two), "witness", "--address", "127.0.0.1:1"},
		"another name for it": {"arbiter", "move", "-M", s.lab.Mcdir(one), "witness", "--address", "localhost" + s.lab.WitnessAddress()[len("127.0.0.1"):]},
	} {
		out, err := s.try(args...)
		t.Logf("%s: %s", name, out)
		if status := exitStatus(err); status != 4 {
			t.Errorf("%s: status %d\n%s", name, status, out)
		}
	}
	for _, on := range []pair.Server{one, two} { // the primary, then the standby
		giveBack := s.lockAway(on)
		for _, args := range [][]string{append(s.moving(one, "none"), "--dry-run"), s.moving(one, "none")} {
			out, err := s.try(args...)
			t.Logf("pair.toml of %s cannot be replaced: %s", on, out)
			if status := exitStatus(err); status != 4 || !strings.Contains(out, "pair.toml of "+string(on)) {
				t.Errorf("pair.toml of %s cannot be replaced: status %d\n%s", on, status, out)
			}
		}
		giveBack()
	}
	if s.pairFile(one)+s.pairFile(two) != before {
		t.Error("what was refused has changed pair.toml")
	}
	if out := s.move(two, "witness"); !strings.Contains(out, "already") {
		t.Errorf("the same once more:\n%s", out)
	}
	if st := s.paired(one); st.Record.Term != 1 {
		t.Errorf("the reign changed: %s", st.Record)
	}
}

// lockAway makes pair.toml a link into a directory in which nobody may write.
func (s *stage) lockAway(of pair.Server) (giveBack func()) {
	s.Helper()
	path, dir := s.lab.Mcdir(of)+"/pair.toml", s.TempDir()
	must := func(err error) {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
	}
	must(os.Rename(path, dir+"/pair.toml"))
	must(os.Symlink(dir+"/pair.toml", path))
	must(os.Chmod(dir, 0o500))
	return func() {
		s.Helper()
		must(os.Chmod(dir, 0o700))
		must(os.Rename(dir+"/pair.toml", path))
	}
}

func exitStatus(err error) int {
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode()
	}
	return 0
}

// The new arbiter dies when it was found sound and before it has found the record. The
// pair serves, and goes back to the old one, whose record was closed.
func TestAMoveToAnArbiterThatDiesIsTakenBack(t *testing.T) {
	s := newMoveStage(t, "witness")
	etcd := s.lab.Pids().Etcd
	ended := s.movesOff("etcd")
	s.kill(etcd...)
	if status := exitStatus(<-ended); status != 3 {
		t.Fatalf("the move to a dead arbiter ended with status %d", status)
	}
	for _, of := range []pair.Server{one, two} {
		s.until("etcd in use and missed", of, func(st wire.Status) bool {
			return st.Arbiter.Kind == "etcd" && !st.Arbiter.Reached && st.Record.Mode == pair.Alone
		})
	}
	s.flowing()
	s.leavesTheGone("witness")
}

// movesOff returns when a move has begun on server1, and tells later how the command
// ended. One that is refused, because the pair was busy, is repeated.
func (s *stage) movesOff(kind string) <-chan error {
	s.Helper()
	for began := time.Now(); ; {
		ended, said := make(chan error, 1), &bytes.Buffer{}
		command := exec.Command(s.lab.Mcctl(), append(s.moving(one, kind), "--timeout", "10s")...)
		command.Stdout, command.Stderr = said, said
		if err := command.Start(); err != nil {
			s.Fatal(err)
		}
		go func() { ended <- command.Wait() }()
		for len(ended) == 0 {
			if _, err := os.Stat(s.lab.Mcdir(one) + "/move.json"); err == nil {
				return ended
			}
			time.Sleep(time.Millisecond)
		}
		s.Logf("no move: %v\n%s", <-ended, said)
		if time.Since(began) > patience {
			s.Fatal("no move has ever begun")
		}
	}
}

// leavesTheGone moves on from an arbiter that is gone for good; the new one is good for a
// failover.
func (s *stage) leavesTheGone(to string) {
	s.Helper()
	s.Log(s.move(two, to, "--old-is-gone", "--yes"))
	s.uses(to, one)
	s.flowing()
	s.kill(s.lab.Pids().Servers[one].Postmaster)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	s.paired(two)
}

// A stop is carried out whenever it comes, also while the supervisor begins anew with
// another arbiter: a service's (SIGTERM), and an operator's as soon as it says that it does.
func TestAStopIsHeardWhileTheSupervisorBeginsAnew(t *testing.T) {
	s := newMoveStage(t, "none")
	signalled := func(after time.Duration) func([]string) *aCommand {
		return func(args []string) *aCommand {
			m := s.start(args)
			supervisor := s.lab.Pids().Servers[two].Supervisor
			time.Sleep(after * time.Millisecond)
			if err := syscall.Kill(supervisor, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	asked := func(args []string) *aCommand {
		before := s.journalEnd(two)
		m, _ := s.beginMove(args, 1)
		s.eventually("server2 is about to begin anew", func() bool {
			return bytes.Contains(s.journal(two, before), []byte("the supervisor begins anew with it"))
		})
		s.eventually("the stop is done", func() bool { // between the two runs there is none to be asked
			out, err := s.try("stop", "--timeout", "20s", "-M", s.lab.Mcdir(two))
			if exitStatus(err) != 0 {
				t.Logf("%v: %s", err, out)
			}
			if exitStatus(err) == 3 {
				t.Error("the stop was forgotten")
			}
			return err == nil
		})
		return m
	}
	for i, stop := range []func([]string) *aCommand{signalled(20), signalled(80), signalled(140), signalled(250), asked, asked} {
		kind := []string{"witness", "none"}[i%2]
		m := stop(append(s.moving(one, kind), "--timeout", "5s"))
		s.eventually("server2 stops", func() bool { return s.lab.Pids().Servers[two] == (lab.ServerPids{}) })
		<-m.ended
		s.mcctl("start", "-M", s.lab.Mcdir(two))
		s.moveUntil(one, kind)
		s.uses(kind, one)
	}
}
