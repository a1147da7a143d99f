package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"mcctl/pkg/check"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// previewSwitch answers --dry-run.
func previewSwitch(ctx context.Context, env *Env, o *switchOptions) error {
	var p check.Preview
	if err := (control{o.Mcdir}).ask(ctx, wire.KindPreview, nil, &p); err != nil {
		return err
	}
	var err error
	if o.Output == formJSON {
		err = writeJSON(env.Stdout, previewed{p, p.Possible()})
	} else {
		err = writePreview(env.Stdout, p)
	}
	if err == nil && !p.Possible() {
		err = quietly(exitRefused)
	}
	return err
}

// previewed is the preview with its verdict.
type previewed struct {
	check.Preview
	Possible bool `json:"possible"`
}

func writePreview(w io.Writer, p check.Preview) error {
	t := newTable(w)
	t.row("CHECK", "STATE", "VALUE", "WANTED")
	for _, h := range p.Checks {
		t.row(h.ID, h.State, h.Value, h.Threshold)
	}
	t.row()
	for _, text := range p.Blockers() {
		t.row("blocker: " + text)
	}
	for _, text := range p.Warnings() {
		t.row("warning: " + text)
	}
	if p.InTheWay != nil {
		writeInTheWay(t, *p.InTheWay)
	}
	if !p.Possible() {
		t.row(fmt.Sprintf("a switch from %s to %s would be refused now", p.From, p.To))
		return t.Flush()
	}
	t.row(fmt.Sprintf("a switch from %s to %s would be made; clients could not write for about %.0f ms (%s)", p.From, p.To, p.GapMS, p.GapBasis))
	return t.Flush()
}

func writeInTheWay(t table, w postgres.InTheWay) {
	t.row(fmt.Sprintf("cut off would be %d sessions, with %d open transactions", w.Clients, w.Open))
	if len(w.Transactions) > 0 {
		t.row()
		t.row("PID", "AGE", "USER", "DATABASE", "STATE", "QUERY")
		for _, a := range w.Transactions {
			t.row(strconv.Itoa(a.PID), age(a.Age), a.User, a.Database, a.State, a.Query)
		}
	}
	if len(w.Prepared) > 0 {
		t.row()
		t.row("PREPARED", "AGE", "OWNER", "DATABASE")
		for _, p := range w.Prepared {
			t.row(p.GID, age(&p.Age), p.Owner, p.Database)
		}
	}
	if len(w.Blocked) > 0 {
		t.row()
		for _, line := range blockingTree(w.Blocked) {
			t.row(line)
		}
	}
	t.row()
}

// age says seconds.
func age(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f s", *seconds)
}

// blockingTree shows who waits for whom: first those that hold others up and wait for
// nobody, below each the sessions that wait for it. A session that waits for several
// stands below each of them.
func blockingTree(blocked []postgres.Blocked) (lines []string) {
	waiting := map[int]bool{}
	for _, b := range blocked {
		waiting[b.PID] = true
	}
	var roots []int
	for _, b := range blocked {
		for _, by := range b.By {
			if !waiting[by] && !slices.Contains(roots, by) {
				roots = append(roots, by)
			}
		}
	}
	if len(roots) == 0 && len(blocked) > 0 { // a deadlock that is not noticed yet
		roots = []int{blocked[0].PID}
	}
	slices.Sort(roots)
	var below func(by int, indent string, path []int)
	below = func(by int, indent string, path []int) {
		for _, b := range blocked {
			if slices.Contains(b.By, by) && !slices.Contains(path, b.PID) {
				lines = append(lines, fmt.Sprintf("%s%d waits since %s: %s", indent, b.PID, age(b.Age), b.Query))
				below(b.PID, indent+"  ", append(path, b.PID))
			}
		}
	}
	for _, root := range roots {
		name := strconv.Itoa(root) + " holds up"
		if root == 0 {
			name = "a prepared transaction holds up"
		}
		lines = append(lines, name)
		below(root, "  ", []int{root})
	}
	return lines
}
