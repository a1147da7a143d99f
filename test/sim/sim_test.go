package sim

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// number is a setting of make sim, or what the tests take by themselves.
func number(t *testing.T, name string, usual uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%s is not a number", name, text)
	}
	return n
}

// each runs the seeds on all processors.
func each(first, count uint64, do func(seed uint64) (goOn bool)) {
	var next atomic.Uint64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= count || !do(first+n) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestNobodyIsOverlooked: a process that nothing has stirred has no coroutine that could
// go on, so that looking only at the others leaves nobody waiting.
func TestNobodyIsOverlooked(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(1+seed, bugs{})
		w.wary = true
		run(w, 5*time.Minute)
	}
}

// TestSeeds lets pairs live through what their seeds have for them: nothing that was
// told is lost, and in the end every pair is whole.
func TestSeeds(t *testing.T) {
	count, minutes := number(t, "SIM_SEEDS", 500), number(t, "SIM_MINUTES", 5)
	length := time.Duration(minutes) * time.Minute
	if one := number(t, "SIM_SEED", 0); one > 0 {
		w := newWorld(one, bugs{})
		w.trace.whole = true
		o := run(w, length)
		t.Logf("trace %016x, %d lines, %d commits acknowledged", o.Sum, o.Lines, o.Acks)
		if o.Err != nil {
			t.Fatal(o.Report())
		}
		return
	}
	began := time.Now()
	var mu sync.Mutex
	var acks, lines int
	var active time.Duration
	only := os.Getenv("SIM_ARBITER")
	each(1, count, func(seed uint64) bool {
		w := newWorld(seed, bugs{})
		if only != "" && only != string(kindOf(w)) {
			return true
		}
		o := run(w, length)
		mu.Lock()
		defer mu.Unlock()
		acks, lines, active = acks+o.Acks, lines+o.Lines, active+o.Active
		if o.Err != nil {
			t.Errorf("%s", o.Report())
		}
		return true
	})
	t.Logf("%d seeds of %d simulated minutes in %s: %d commits acknowledged, %d events told, %s of the time was not calm",
		count, minutes, time.Since(began).Round(time.Second/10), acks, lines, active.Round(time.Second))
}
