package first

import (
	"os"
	"strings"
	"testing"

	"mcctl/test/fault"
)

// cutEverywhere kills a command at the first thing it says, the next call at the first
// thing that none was killed at, and so on, until a call comes to its end.
func (h *hosts) cutEverywhere(c *fault.Counts, host, stdin, text string) {
	h.Helper()
	what := func(said string) string {
		step := h.lastStep(said)
		switch {
		case strings.HasPrefix(said, "copied "):
			step = "copying the data of the first server"
		case step == "beginning":
			step, _, _ = strings.Cut(strings.ReplaceAll(said, h.dir, ""), "\n")
		}
		return host + ": " + step
	}
	for range 60 {
		at, ended := h.cut(host, stdin, text, func(said string) bool { return c.Of(what(said)) == 0 })
		if ended {
			return
		}
		c.Add(what(at))
	}
	h.Fatalf("%s: it never comes to its end", text)
}

// stepsOf leaves out what is only said.
func (h *hosts) stepsOf(c *fault.Counts) *fault.Counts {
	steps := &fault.Counts{}
	for _, step := range c.Steps {
		if _, what, _ := strings.Cut(step, ": "); h.lastStep(what) != "beginning" {
			for range c.Of(step) {
				steps.Add(step)
			}
		}
	}
	return steps
}

// Each mcctl init is killed after each thing it says, and called again. The second server
// keeps a tablespace and pg_wal on other disks.
func TestKilledAnywhere(t *testing.T) {
	h, c := newHosts(t), &fault.Counts{}
	w := walk{hosts: h}
	for _, b := range page(t) {
		if b.how == "new" {
			h.cutEverywhere(c, b.host, "", b.text)
			h.spaced()
		}
		w.usual(b, func(token string) { h.cutEverywhere(c, b.host, token, h.elsewhere(b).text) })
	}
	t.Logf("killed, and called again:%s", c)
	h.stepsOf(c).Promised(t, "mcctl init", "kill -9")
	h.mustBePair()
	h.mustLieElsewhere()
	for _, name := range []string{"data.mcctl-init", "data.part", "data.new"} {
		for _, server := range []string{"server1", "server2"} {
			if _, err := os.Lstat(h.path(server, name)); err == nil {
				t.Errorf("%s is left on %s", name, server)
			}
		}
	}
}
