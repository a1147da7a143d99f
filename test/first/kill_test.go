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
	steps := &fault.Counts{}
	for _, step := range c.Steps { // without what is only said
		if host, what, _ := strings.Cut(step, ": "); h.lastStep(what) != "beginning" {
			for range c.Of(step) {
				steps.Add(host + ": " + what)
			}
		}
	}
	steps.Promised(t, "mcctl init", "kill -9")
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

// Over a running PostgreSQL that has to be restarted, too.
func TestTakeOverKilledAnywhere(t *testing.T) {
	h, c := newHosts(t), &fault.Counts{}
	h.cluster("wal_level = minimal\nmax_wal_senders = 0\n")
	p := h.writers()
	for _, b := range page(t) {
		if b.host == "server1" && strings.Contains(b.text, "--yes") {
			text := strings.ReplaceAll(b.text, "--yes", "--yes --restart")
			h.cutEverywhere(c, b.host, "", text)
		}
	}
	t.Logf("killed, and called again:%s", c)
	h.must("server1", "", "mcctl config check -M /etc/mcctl/orders")
	h.judge(p)
}
