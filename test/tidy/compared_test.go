package tidy

import (
	"encoding/json"
	"fmt"
	"go/format"
	"os"
	"strings"
	"testing"

	"mcctl/test/made"
)

// benchRun is docs/benchmarks.json, as make bench writes it.
type benchRun struct {
	Date string
	Host struct {
		CPUs       int
		PostgreSQL string
	}
	Safety struct{ Acknowledged, Lost int }
	Values []struct {
		Subject, Profile, Event, Value string
		Runs                           int
		Median, Min, Max               float64
	}
}

// gap is how long clients could not write, in seconds: the median, and what else is shown.
func (b benchRun) gap(t *testing.T, subject, profile, event string, show func(median, least, most string) string) string {
	t.Helper()
	inSeconds := func(ms float64) string {
		if ms >= 10000 {
			return fmt.Sprintf("%.0f", ms/1000)
		}
		return fmt.Sprintf("%.2f", ms/1000)
	}
	for _, v := range b.Values {
		if v.Subject == subject && v.Profile == profile && v.Event == event && v.Value == "gap_ms" {
			return show(inSeconds(v.Median), inSeconds(v.Min), inSeconds(v.Max))
		}
	}
	t.Fatalf("docs/benchmarks.json has no gap of %s, %s, at %s", subject, profile, event)
	return ""
}

func onlyMedian(median, _, _ string) string    { return median }
func fromTo(_, least, most string) string      { return least + "–" + most }
func andSlowest(median, _, most string) string { return median + " (" + most + ")" }

// newestBench reads it.
func newestBench(t *testing.T) (b benchRun) {
	t.Helper()
	text, err := os.ReadFile("../../docs/benchmarks.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// What the demonstration says of the others is what README.md says.
func TestDocsOfTheDemo(t *testing.T) {
	b := newestBench(t)
	var s strings.Builder
	s.WriteString("// Code generated from docs/benchmarks.json by make docs; DO NOT EDIT.\n\npackage main\n\n")
	s.WriteString("// others are the medians of what others took, by the events of make bench.\nvar others = map[string]string{\n")
	for _, event := range []string{"switch", "kill-postmaster", "kill-server"} {
		var gaps []string
		for _, peer := range []struct{ subject, title string }{{"repmgr", "repmgr"}, {"pg_auto_failover", "pg_auto_failover"}, {"patroni", "Patroni"}} {
			gaps = append(gaps, peer.title+" "+b.gap(t, peer.subject, "default", event, onlyMedian)+" s")
		}
		fmt.Fprintf(&s, "%q: %q,\n", event, strings.Join(gaps, ", "))
	}
	s.WriteString("}\n")
	text, err := format.Source([]byte(s.String()))
	if err != nil {
		t.Fatal(err)
	}
	made.Whole(t, "../demo/others.go", string(text))
}

// The numbers of README.md are those of the newest make bench.
func TestDocsCompared(t *testing.T) {
	b := newestBench(t)
	var s strings.Builder
	fmt.Fprintf(&s, "Measured on %s with PostgreSQL %s on %d CPUs: %d rows acknowledged, %d lost.\n\n", b.Date, b.Host.PostgreSQL, b.Host.CPUs, b.Safety.Acknowledged, b.Safety.Lost)
	s.WriteString("| event | floor | Patroni | pg_auto_failover | repmgr | mcctl |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, row := range []struct {
		title, floor, event string
		others              string // what was not measured by make bench-peers
	}{
		{"planned switch", "switch", "switch", ""},
		{"`kill -9` of the primary's postmaster", "kill", "kill-postmaster", ""},
		{"... and of its supervisor; the host still answers", "kill", "kill-server", ""},
		{"host silent (frozen) ¹", "", "freeze-server", "27 ² | 55 ² | 67 ²"},
		{"`kill -9` of the standby's postmaster: commits wait", "detach standby", "kill-standby", "5–30 ³ | 20 ³ | for ever ³"},
	} {
		floor, others := "detection + a promotion", row.others
		if row.floor != "" {
			floor = b.gap(t, "floor", "default", row.floor, fromTo)
		}
		if others == "" {
			var gaps []string
			for _, peer := range []string{"patroni", "pg_auto_failover", "repmgr"} {
				gaps = append(gaps, b.gap(t, peer, "default", row.event, onlyMedian))
			}
			others = strings.Join(gaps, " | ")
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s |\n", row.title, floor, others, b.gap(t, "mcctl", "default", row.event, andSlowest))
	}
	fmt.Fprintf(&s, "\n¹ Everything of the primary's server stopped by SIGSTOP. The profile `tight` takes %s s.\n", b.gap(t, "mcctl", "tight", "freeze-server", onlyMedian))
	made.Part(t, "../../README.md", "comparison", s.String())
}
