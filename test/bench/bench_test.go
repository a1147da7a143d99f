package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/probe"
)

func gap(subject, profile, event string, ms float64) sample {
	return sample{Program: "p", At: time.Unix(0, 0), Subject: subject, Profile: profile, Event: event, Acked: 100, Values: map[string]float64{"gap_ms": ms}}
}

func TestSummaryComparesWithTheFloorBesideIt(t *testing.T) {
	all := summarise([]sample{
		gap(ours, "default", "switch", 300), gap(ours, "default", "switch", 100), gap(ours, "default", "switch", 200),
		gap(bareFloor, "default", "switch", 100), gap(bareFloor, "tight", "switch", 1),
		gap(ours, "default", "kill-server", 90), gap(bareFloor, "default", "kill", 60),
		{Subject: ours, Profile: "default", Event: "switch", Error: "timed out"},
	})
	s, ok := find(all, ours, "default", "switch", "gap_ms")
	if !ok || s.Runs != 3 || s.cell() != "200 (100–300)" || s.ToFloor != 2 {
		t.Errorf("switch: %+v, %s", s, s.cell())
	}
	if s, _ := find(all, ours, "default", "kill-server", "gap_ms"); s.ToFloor != 1.5 {
		t.Errorf("kill-server: %+v", s)
	}
}

func TestAMoveIsToldApartFromTheWayBack(t *testing.T) {
	noise := probe.Gap{At: 10, Length: 30, From: "one", To: "one"}
	move := probe.Gap{At: 99, Length: 120, From: "one", To: "two"}
	back := probe.Gap{At: 400, Length: 300, From: "two", To: "two"}
	event := probe.Event{At: 100, Gap: back}
	if moved, after := apart([]probe.Gap{noise, move, back}, event); moved != move || after != back {
		t.Errorf("moved in %+v, the other %+v", moved, after)
	}
	if moved, after := apart(nil, event); moved != back || after.Length != 0 {
		t.Errorf("none listed: moved in %+v, the other %+v", moved, after)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0.0666: "0.0666", 3.86: "3.86", 15.44: "15.4", 2253.6: "2254", 0: "0"} {
		if got := number(v); got != want {
			t.Errorf("number(%g) = %s, want %s", v, got, want)
		}
	}
}

func TestBrokenPromiseIsAnError(t *testing.T) {
	bad := gap(ours, "default", "freeze-server", 1)
	for _, breakIt := range []func(*sample){
		func(s *sample) { s.Lost = 1 }, func(s *sample) { s.Doubled = 1 }, func(s *sample) { s.Ghosts = 1 }, func(s *sample) { s.Overlap = true },
	} {
		s := bad
		breakIt(&s)
		if verdict([]sample{bad, s}) == nil || s.safe() || !strings.Contains(s.String(), "NOT SAFE") {
			t.Errorf("%+v passes", s)
		}
	}
	if err := verdict([]sample{bad}); err != nil {
		t.Error(err)
	}
}

func TestPageKeepsWhatIsWrittenByHandAndWhatOthersTook(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("head\n" + beginMark + "\nstale\n" + endMark + "\ntail\n")
	now := []sample{gap(ours, "default", "switch", 3)}
	for _, all := range [][]sample{append(now, gap("patroni", "default", "switch", 1360)), now} {
		if err := writePage(page, all); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	if !strings.HasPrefix(got, "head\n"+beginMark) || !strings.HasSuffix(got, endMark+"\ntail\n") || strings.Contains(got, "stale") ||
		!strings.Contains(got, "| patroni default |") || !strings.Contains(got, "1360") || strings.Count(got, "How long") != 1 {
		t.Error(got)
	}
	write("no marks")
	if err := writePage(page, nil); err == nil || !strings.Contains(err.Error(), "put both") {
		t.Errorf("a page without marks: %v", err)
	}
}

func TestBrokenOffRunIsContinuedByTheSameProgramOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "bench.jsonl")
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.file.Close()
	failed := gap(ours, "default", "switch", 0)
	failed.Values, failed.Error = nil, "timed out"
	if err := errors.Join(j.add(gap(ours, "default", "switch", 1)), j.add(failed)); err != nil {
		t.Fatal(err)
	}
	b := &bench{options: options{runs: 2, profiles: []string{"default"}, events: []string{"switch"}}}
	have, err := earlier(path, "p", b.complete)
	if err != nil || len(have) != 2 || !lacks(have, ours, "default", "switch", 2) || lacks(have, ours, "default", "switch", 1) {
		t.Fatalf("continue with %v, %v", have, err)
	}
	b.runs = 1
	for _, program := range []string{"p", "q"} { // complete; then put aside already
		if have, err := earlier(path, program, b.complete); err != nil || have != nil {
			t.Errorf("after a complete run: %v, %v", have, err)
		}
	}
	if aside, _ := filepath.Glob(path + ".2*"); len(aside) != 1 {
		t.Errorf("put aside: %v", aside)
	}
}

func TestTwoRunsDoNotMeet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.jsonl")
	release, err := alone(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone(path); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("a second run: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if release, err = alone(path); err != nil {
		t.Fatalf("after the first: %v", err)
	}
	_ = release()
}
