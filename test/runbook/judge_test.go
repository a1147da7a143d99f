package runbook

import (
	"os"
	"path/filepath"
	"strings"
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

// judge ends the writing. No row may be lost, and only the switches may have
// interrupted the writers, once each: another server answers after such a gap.
func (s *stage) judge(switches int) {
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
	// What a busy machine does to writers that nothing disturbs. A server that went
	// without saying goodbye would hold up commits for commit_stall_max, 2 s.
	bound := 1800 * time.Millisecond
	if quiet, ok := r.Mark(calm); ok {
		bound += 4 * time.Duration(quiet.Gap.Length)
	}
	moved := 0
	for _, g := range r.Gaps {
		gap := time.Duration(g.Length)
		switch {
		case g.Open: // the writers were stopped in it
		case host(g.From) != host(g.To):
			moved++
			s.Logf("one gap of %s at %s, in: %s", g.Length, g.At, during(r, g))
			if gap > 10*time.Second {
				s.Errorf("clients waited %s for a switch", g.Length)
			}
		case gap > bound:
			s.Errorf("clients waited %s, which is more than %s, but nothing was switched: %s", g.Length, bound, during(r, g))
		}
	}
	if moved != switches {
		s.Errorf("%d gaps after which another server answered, want %d", moved, switches)
	}
	for _, e := range r.Marks {
		s.Logf("longest gap %9s, in: %s", e.Gap.Length, e.Name)
	}
}

// host is who answered, without the timeline: on a server that was promoted just now
// some sessions may still have been told the old one.
func host(answered string) string {
	name, _, _ := strings.Cut(answered, " ")
	return name
}

// during names the block in which a gap began.
func during(r *probe.Result, g probe.Gap) (name string) {
	for _, e := range r.Marks {
		if e.At <= g.At {
			name = e.Name
		}
	}
	return name
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
