package floor_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/probe"
	"mcctl/test/bench/floor"
)

// TestFloor lets every event happen FLOOR_RUNS times (default 1), in turn on one
// pair, and logs what clients saw. FLOOR_SVG names a directory for the pictures.
func TestFloor(t *testing.T) {
	if os.Getuid() == 0 {
		t.Fatal("PostgreSQL does not run as root; run these tests by make test")
	}
	programs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(programs) == 0 {
		t.Fatal("no PostgreSQL below /usr/lib/postgresql; install postgresql-15 or newer")
	}
	runs, err := strconv.Atoi(os.Getenv("FLOOR_RUNS"))
	if err != nil {
		runs = 1
	}
	p, err := floor.Up(t.TempDir(), filepath.Dir(programs[len(programs)-1]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Down)
	for _, e := range []floor.Event{floor.Switch, floor.Kill, floor.Detach} {
		t.Run(strings.ReplaceAll(string(e), " ", "-"), func(t *testing.T) { measure(t, p, e, runs) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.Heal(ctx); err != nil { // after the last event, and of a pair that is whole
		t.Error(err)
	}
	if err := p.Heal(ctx); err != nil {
		t.Error(err)
	}
}

func measure(t *testing.T, p *floor.Pair, e floor.Event, runs int) {
	results, err := floor.Measure(t.Context(), p, e, runs)
	if err != nil {
		t.Error(err)
	}
	var gaps []probe.Millis
	for i, r := range results {
		var text strings.Builder
		if err := r.Text(&text); err != nil {
			t.Fatal(err)
		}
		m, ok := r.Mark(string(e))
		if !r.Safe() || !ok || m.Gap.Open || m.Gap.Length <= 0 {
			t.Errorf("run %d:\n%s", i+1, text.String())
		}
		if i == 0 {
			t.Logf("the first run:\n%s", text.String())
			draw(t, e, r)
		}
		if moved := len(r.Reigns) == 2; moved != (e != floor.Detach) {
			t.Errorf("run %d: acknowledged by %+v", i+1, r.Reigns)
		}
		gaps = append(gaps, m.Gap.Length)
	}
	if len(gaps) > 0 {
		slices.Sort(gaps)
		t.Logf("%s: %d runs, gap median %s (%s to %s)", e, len(gaps), gaps[(len(gaps)-1)/2], gaps[0], gaps[len(gaps)-1])
	}
}

func draw(t *testing.T, e floor.Event, r *probe.Result) {
	dir := os.Getenv("FLOOR_SVG")
	if dir == "" {
		return
	}
	f, err := os.Create(filepath.Join(dir, "floor-"+strings.ReplaceAll(string(e), " ", "-")+".svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := r.SVG(f); err != nil {
		t.Error(err)
	}
}
