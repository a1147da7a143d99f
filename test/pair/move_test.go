package pair

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

func newMoveStage(t *testing.T, arbiter string) *stage {
	s := newStage(t, lab.Options{Arbiter: arbiter, Spare: true})
	s.eventually("the spare etcd has a leader", func() bool {
		answer, err := http.Get(s.lab.EtcdEndpoints()[0] + "/health")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return s
}

// move has the arbiter replaced, on that server, as an operator would.
func (s *stage) move(on pair.Server, kind string, more ...string) string {
	s.Helper()
	return s.mcctl(append(s.moving(on, kind), more...)...)
}

func (s *stage) moving(on pair.Server, kind string) []string {
	args := []string{"arbiter", "move", "-M", s.lab.Mcdir(on), kind}
	switch kind {
	case "witness":
		return append(args, "--address", s.lab.WitnessAddress())
	case "etcd":
		return append(args, "--endpoints", strings.Join(s.lab.EtcdEndpoints(), ","))
	}
	return args
}

// uses waits until the pair is whole by that kind of arbiter, seen from both servers.
func (s *stage) uses(kind string, primary pair.Server) {
	s.Helper()
	for _, of := range []pair.Server{one, two} {
		s.until(kind+" in use", of, func(st wire.Status) bool {
			return st.Healthy && st.Arbiter.Kind == kind && st.Record.Primary == primary &&
				strings.HasPrefix(st.Servers[0].Arbiter, kind) && st.Servers[0].Arbiter == st.Servers[1].Arbiter
		})
	}
}

func (s *stage) pairFile(of pair.Server) string {
	s.Helper()
	b, err := os.ReadFile(s.lab.Mcdir(of) + "/pair.toml")
	if err != nil {
		s.Fatal(err)
	}
	return string(b)
}

// From none to a witness to etcd and back, by commands, under writers: nobody waits, and
// a primary that dies is replaced under each that can.
func TestTheArbiterIsMovedThroughAllKinds(t *testing.T) {
	s := newMoveStage(t, "none")
	s.amend("commit_stall_max = \"12s\"\n") // see noGap
	files := [2]string{s.pairFile(one), s.pairFile(two)}
	primary, other := one, two
	for i, kind := range []string{"witness", "etcd", "witness", "command", "none"} {
		s.flowing()
		s.probe.Mark("move to " + kind)
		out := s.move([]pair.Server{primary, other}[i%2], kind)
		t.Log(out)
		s.uses(kind, primary)
		s.flowing()
		s.probe.Mark("whole under " + kind) // a gap that begins just before the next mark counts for both
		s.flowing()
		s.probe.Mark("kill under " + kind)
		if kind == "none" {
			s.kill(s.lab.Pids().Servers[primary].Postmaster)
		} else {
			p := s.lab.Pids().Servers[primary]
			s.kill(p.Watch, p.Supervisor, p.Postmaster)
		}
		s.until(string(other)+" took over", other, func(st wire.Status) bool { return st.Record.Primary == other })
		s.flowing()
		if kind != "none" {
			if err := s.lab.Start(t.Context(), primary); err != nil {
				t.Fatal(err)
			}
		}
		primary, other = other, primary
		s.paired(primary)
	}
	for i, of := range []pair.Server{one, two} {
		if now := s.pairFile(of); now != files[i] {
			t.Errorf("pair.toml of %s has come back as\n%s\nand was\n%s", of, now, files[i])
		}
	}
	s.noGap("move to")
}

// noGap ends the writing and judges what clients saw after the marks of that name. A
// standby that goes without a word would hold up commits for commit_stall_max, which must
// be so long that it is told from a busy machine.
func (s *stage) noGap(name string) {
	s.Helper()
	r, err := s.probe.Stop()
	if err != nil {
		s.Fatal(err)
	}
	for _, m := range r.Marks {
		s.Logf("%s: longest gap %s", m.Name, m.Gap.Length)
		if strings.HasPrefix(m.Name, name) && time.Duration(m.Gap.Length) > 6*time.Second {
			s.Errorf("%s: clients waited for %s", m.Name, m.Gap.Length)
		}
	}
	s.Logf("%d rows acknowledged, %s", r.Acked, r.Verdict())
}

// A supervisor begins anew within its process, again and again, and leaves nothing open
// of its earlier lives: neither descriptors nor sessions.
func TestASupervisorThatBeginsAnewLeavesNothingOpen(t *testing.T) {
	s := newMoveStage(t, "none")
	open := func() (files, sessions int) {
		t.Helper()
		pid := s.lab.Pids().Servers[one].Supervisor
		found, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		sessions, err = strconv.Atoi(s.psql(one, "select count(*) from pg_stat_activity where usename = 'postgres'"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found), sessions
	}
	before := s.lab.Pids().Servers[one].Supervisor
	round := func() {
		for _, kind := range []string{"witness", "none"} {
			s.move(one, kind)
			s.uses(kind, one)
		}
	}
	round()
	files, sessions := open()
	for range 3 {
		round()
	}
	// A session or a connection may come and go; six lives would leave six of each.
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		nowFiles, nowSessions := open()
		if nowFiles <= files+4 && nowSessions <= sessions+2 {
			t.Logf("%d files and %d sessions after one round, %d and %d after four", files, sessions, nowFiles, nowSessions)
			break
		}
		if time.Since(began) > patience/2 {
			t.Fatalf("%d files and %d sessions after one round, %d and %d after four", files, sessions, nowFiles, nowSessions)
		}
	}
	if now := s.lab.Pids().Servers[one].Supervisor; now != before {
		t.Errorf("the supervisor was %d and is %d: it began anew in another process", before, now)
	}
}
