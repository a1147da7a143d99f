package runbook

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/probe"
)

// load reads a page.
func (s *stage) load(name string) Page {
	s.Helper()
	text := s.read(filepath.Join(pages, name))
	page, err := Parse("docs/runbooks/"+name, text)
	if err != nil {
		s.Fatal(err)
	}
	return page
}

// pages is where they are.
const pages = "../../docs/runbooks"

// judge ends the writing. No row may be lost, and only the switches may have interrupted
// the writers: one gap each, after which another server answers, in the step named, if
// steps are named; and none elsewhere.
func (s *stage) judge(switches int, steps ...string) {
	s.Helper()
	s.flowing()
	r, err := s.probe.Stop()
	if err != nil || !r.Safe() {
		s.Fatalf("writers: %v, %s", err, r.Verdict())
	}
	s.Logf("%d rows acknowledged, %s", r.Acked, r.Verdict())
	if got := len(r.Reigns) - 1; got != switches {
		s.Errorf("another server answered %d times, want %d: %+v", got, switches, r.Reigns)
	}
	for _, problem := range misplaced(r, switches, steps, s.archive) {
		s.Error(problem)
	}
	for _, g := range r.Gaps {
		if !atTheEdge(g) && host(g.From) != host(g.To) {
			s.Logf("switched from %s to %s at %s, in: %s", g.From, g.To, g.At, during(r, g))
		}
	}
	for _, e := range r.Marks {
		s.Logf("longest gap %9s, in: %s", e.Gap.Length, e.Name)
	}
}

// bound is what no gap is longer than, but that of a switch may be twice that; how fast a
// switch is make bench measures. Clients that nothing disturbs wait for a busy machine too:
// how long was seen before the page began. A server that went without saying goodbye would
// hold up commits for commit_stall_max, 12 s (stallMax).
func bound(r *probe.Result) time.Duration {
	quiet, _ := r.Mark(calm)
	return 4*time.Second + 4*time.Duration(quiet.Gap.Length)
}

// misplaced are the gaps that should not have been, and those that should. For so long a
// switch may wait for the site's archive.
func misplaced(r *probe.Result, switches int, steps []string, archive time.Duration) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	moved := 0
	for _, g := range r.Gaps {
		length := time.Duration(g.Length)
		switch {
		case atTheEdge(g):
		case host(g.From) == host(g.To):
			if length > bound(r) {
				say("clients waited %s, which is more than %s, but nothing was switched: %s", g.Length, bound(r), during(r, g))
			}
		default:
			if moved++; len(steps) >= moved && !within(r, g, steps[moved-1]) {
				say("switch %d was in %q, want it in %q", moved, during(r, g), steps[moved-1])
			}
			if most := 2*bound(r) + archive; length > most {
				say("clients waited %s, which is more than %s, for switch %d", g.Length, most, moved)
			}
		}
	}
	if moved != switches || len(steps) > 0 && len(steps) != switches {
		say("%d gaps after which another server answered, want %d: %q", moved, switches, steps)
	}
	return problems
}

// atTheEdge: the writers began or were stopped in the gap.
func atTheEdge(g probe.Gap) bool { return g.Open || g.From == "nobody" }

// host is who answered, without the timeline: on a server that was promoted just now
// some sessions may still have been told the old one.
func host(answered string) string {
	name, _, _ := strings.Cut(answered, " ")
	return name
}

// during names the block in which a gap began, and how long it was.
func during(r *probe.Result, g probe.Gap) (name string) {
	for _, e := range r.Marks {
		if e.At <= g.At {
			name = e.Name
		}
	}
	return fmt.Sprintf("%s (%s)", name, g.Length)
}

// within tells whether a gap touches a block whose name has the text.
func within(r *probe.Result, g probe.Gap, text string) bool {
	for i, e := range r.Marks {
		over := i+1 == len(r.Marks) || g.At < r.Marks[i+1].At
		if strings.Contains(e.Name, text) && g.At+g.Length >= e.At && over {
			return true
		}
	}
	return false
}

func TestMisplacedGaps(t *testing.T) {
	const a, b = "127.0.0.1:1 (timeline 1)", "127.0.0.1:2 (timeline 2)"
	ms := func(n int) probe.Millis { return probe.Millis(time.Duration(n) * time.Millisecond) }
	mark := func(name string, at int) probe.Event {
		return probe.Event{Name: name, At: ms(at), Gap: probe.Gap{Length: ms(50)}}
	}
	marks := []probe.Event{mark(calm, 0), mark("line 3: mcctl stop", 1000), mark("line 7: mcctl switch", 2000), mark("line 9: mcctl start", 3000)}
	gap := func(at, length int, from, to string) probe.Gap {
		return probe.Gap{At: ms(at), Length: ms(length), From: from, To: to}
	}
	for _, c := range []struct {
		gaps []probe.Gap
		want string
	}{
		{[]probe.Gap{gap(1100, 150, a, a), gap(2100, 400, a, b), gap(2600, 90, b, "127.0.0.1:2 (timeline 1)")}, ""},
		{[]probe.Gap{gap(10, 90, "nobody", a), gap(2100, 400, a, b)}, ""}, // nobody had answered yet
		{[]probe.Gap{gap(1990, 400, a, b)}, ""},                           // the last answer came before the command began
		{[]probe.Gap{gap(1500, 400, a, b)}, "switch 1 was in"},
		{[]probe.Gap{gap(3100, 400, a, b)}, "switch 1 was in"},
		{[]probe.Gap{gap(2100, 8500, a, b)}, "8500.0 ms, which is more than 8.4s, for switch 1"},
		{[]probe.Gap{gap(2100, 400, a, b), gap(3100, 4300, b, b)}, "but nothing was switched: line 9"},
		{[]probe.Gap{gap(2100, 400, a, b), gap(2600, 300, b, a)}, "2 gaps after which another server answered, want 1"},
		{nil, "0 gaps"},
	} {
		got := strings.Join(misplaced(&probe.Result{Marks: marks, Gaps: c.gaps}, 1, []string{"mcctl switch"}, 0), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%v: got %q, want %q", c.gaps, got, c.want)
		}
	}
}

// unmanaged is a postgresql.conf without the lines that mcctl manages. What it had to
// add stands at the end.
func unmanaged(conf string) string {
	var kept []string
	for line := range strings.Lines(conf) {
		name := strings.TrimLeft(line, "#")
		if !strings.HasPrefix(name, "synchronous_standby_names") && !strings.HasPrefix(name, "synchronized_standby_slots") &&
			!strings.HasPrefix(name, "primary_conninfo") && !strings.HasPrefix(name, "primary_slot_name") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// confs are both postgresql.conf, byte for byte but for the managed lines.
func (s *stage) confs() map[pair.Server]string {
	s.Helper()
	return map[pair.Server]string{one: unmanaged(s.read(s.variables[one]["CONF"])), two: unmanaged(s.read(s.variables[two]["CONF"]))}
}

// sameConfs compares with what was before.
func (s *stage) sameConfs(before map[pair.Server]string) {
	s.Helper()
	for server, now := range s.confs() {
		if now != before[server] {
			s.Errorf("postgresql.conf of %s differs in more than managed lines:\n%s\nwas:\n%s", server, now, before[server])
		}
	}
}

// rebuilt tells whether a server was ever copied or rewound.
func (s *stage) rebuilt(server pair.Server) bool {
	_, err := os.Stat(filepath.Join(s.lab.Mcdir(server), "rebuild.json"))
	events := s.read(filepath.Join(s.lab.Mcdir(server), "log", "events.jsonl"))
	return err == nil || strings.Contains(events, "pg_rewind") || strings.Contains(events, "base backup")
}
