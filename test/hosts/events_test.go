package main

import "testing"

// What a journal gained is told without times and lengths.
func TestWhatAJournalGained(t *testing.T) {
	for _, c := range []struct{ before, now, want string }{
		{"", "x\n", "x\n"},
		{"x\n", "x\n", ""},
		{"x\ny\n", "x\ny\nz\n", "z\n"},
		{"x\ny\n", "x\nz\n", "z\n"}, // y was not synced when the power failed
		{"x\ny\n", "z\n", "z\n"},    // another disk
	} {
		if got := gained(c.before, c.now); got != c.want {
			t.Errorf("from %q to %q: gained %q, want %q", c.before, c.now, got, c.want)
		}
	}
}

// Where nothing can be read, nothing can be said not to be there.
func TestNoEventNeedsAJournal(t *testing.T) {
	w := &world{dir: t.TempDir()}
	w.hosts = map[string]*host{"a": {w: w, name: "a"}}
	if err := newPlay(w, &scenario{}).expectNoEvent(t.Context(), []string{"a", "detach"}); err == nil {
		t.Error("a journal that is not there has no event, it says")
	}
}
