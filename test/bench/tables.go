package main

import (
	"fmt"
	"slices"
	"strings"
)

// markdown is all that stands between the marks of the page.
func (r results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s with PostgreSQL %s on %d CPUs.\n", r.Date, r.Host.PostgreSQL, r.Host.CPUs)
	fmt.Fprintf(&b, "**%d runs, %d rows acknowledged, %d lost**, %d doubled, %d acknowledged by a server that had been replaced, %d runs with two primaries; %d runs failed.\n",
		r.Safety.Runs, r.Safety.Acked, r.Safety.Lost, r.Safety.Doubled, r.Safety.Ghosts, r.Safety.Overlap, r.Safety.Failed)
	b.WriteString("\n### How long clients could not write\n\nMilliseconds: median (shortest–longest); × is the median in relation to bare PostgreSQL's.\n\n")
	r.gaps(&b)
	fmt.Fprintf(&b, "\nRuns of each event: %s.\n", r.counts())
	b.WriteString("\n### When the trouble ends\n\nMilliseconds. The gap at that moment, and how long until both servers are in the pair again\n(for a pair that mends itself: the longest gap but that in which the role moved, 0 if there was none of 20 ms,\nand the time counted from the event). The old primary comes back on the new one's disk here.\n\n")
	r.mends(&b)
	b.WriteString("\n### What it costs\n\nAt rest, over 30 s without clients. RSS counts pages that several processes share in each of them; PSS divides them.\n\n")
	r.costs(&b)
	return b.String()
}

// profiles of a subject, as far as there are values.
func (r results) profiles(subject string) (names []string) {
	for _, v := range r.Values {
		if v.Subject == subject && v.Profile != "" && !slices.Contains(names, v.Profile) {
			names = append(names, v.Profile)
		}
	}
	return names
}

// peers are the other tools with their profiles, in pairs.
func (r results) peers() (names [][2]string) {
	for _, v := range r.Values {
		name := [2]string{v.Subject, v.Profile}
		if v.ofPeer() && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (r results) gaps(b *strings.Builder) {
	head := []string{"event"}
	for _, p := range r.profiles(ours) {
		head = append(head, "bare PostgreSQL beside it", "**"+p+"**", "×")
	}
	for _, p := range r.peers() {
		head = append(head, p[0]+" "+p[1])
	}
	writeRow(b, head)
	writeRow(b, slices.Repeat([]string{"---"}, len(head)))
	for _, e := range events() {
		row := []string{e.title}
		for _, p := range r.profiles(ours) {
			own, _ := find(r.Values, ours, p, e.name, "gap_ms")
			row = append(row, r.value(bareFloor, p, string(e.floor), "gap_ms"), r.value(ours, p, e.name, "gap_ms"), ratio(own.ToFloor))
		}
		for _, p := range r.peers() {
			row = append(row, r.value(p[0], p[1], e.name, "gap_ms"))
		}
		writeRow(b, row)
	}
}

// counts says how many runs the medians are of.
func (r results) counts() string {
	var parts []string
	add := func(subject, profile string) {
		least, most := 0, 0
		for _, v := range r.Values {
			if v.Subject == subject && v.Profile == profile && v.Value == "gap_ms" {
				if least == 0 || v.Runs < least {
					least = v.Runs
				}
				most = max(most, v.Runs)
			}
		}
		text := fmt.Sprintf("%s %s %d", subject, profile, least)
		if most > least {
			text += fmt.Sprintf(" to %d", most)
		}
		parts = append(parts, text)
	}
	for _, p := range r.profiles(ours) {
		add(ours, p)
		add(bareFloor, p)
	}
	for _, p := range r.peers() {
		add(p[0], p[1])
	}
	return strings.Join(parts, ", ")
}

func (r results) mends(b *strings.Builder) {
	head := []string{"after", "what mends it"}
	for _, p := range r.profiles(ours) {
		head = append(head, p+": gap", p+": whole after")
	}
	writeRow(b, head)
	writeRow(b, slices.Repeat([]string{"---"}, len(head)))
	for _, e := range events() {
		if e.mend == nil && !e.moves {
			continue
		}
		row := []string{e.title, e.mendTitle}
		if e.mend == nil {
			row[1] = "itself"
		}
		for _, p := range r.profiles(ours) {
			row = append(row, r.value(ours, p, e.name, "mend_gap_ms"), r.value(ours, p, e.name, "whole_ms"))
		}
		writeRow(b, row)
	}
}

// costs shows each process group in a line.
func (r results) costs(b *strings.Builder) {
	profiles := r.profiles(ours)
	line := func(title, event, value string) {
		row := []string{title}
		for _, p := range profiles {
			row = append(row, r.value(ours, p, event, value))
		}
		writeRow(b, row)
	}
	writeRow(b, append([]string{"what"}, profiles...))
	writeRow(b, slices.Repeat([]string{"---"}, len(profiles)+1))
	for _, g := range []struct{ name, title string }{
		{"primary_supervisor", "supervisor of the primary"},
		{"primary_all", "… with its watch and its disk probe"},
		{"standby_supervisor", "supervisor of the standby"},
		{"standby_all", "… with its watch and its disk probe"},
		{"witness", "witness"},
		{"witness_all", "… with its watch"},
	} {
		line(g.title+", RSS MB", atRest, g.name+"_rss_mb")
		line(g.title+", PSS MB", atRest, g.name+"_pss_mb")
		line(g.title+", % of a core", atRest, g.name+"_cpu_percent")
	}
	line("statements per second on the primary", atRest, "statements_primary_per_s")
	line("statements per second on the standby", atRest, "statements_standby_per_s")
	line("mcctl status, a command from start to end, ms", coldStatus, "status_ms")
	if size, ok := find(r.Values, ours, "", "size", "stripped_mb"); ok {
		fmt.Fprintf(b, "\nThe program, stripped: %s MB.\n", number(size.Median))
	}
}

func (r results) value(subject, profile, event, value string) string {
	if s, ok := find(r.Values, subject, profile, event, value); ok {
		return s.cell()
	}
	return "–"
}

func ratio(v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", v)
}

func writeRow(b *strings.Builder, cells []string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}
