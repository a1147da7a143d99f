package first

import (
	"context"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/probe"
	"mcctl/test/fault"
)

const takeOver = "mcctl init over a running PostgreSQL"

// taken makes a running PostgreSQL that has to be restarted, too, to become a server of a
// pair, and the command that takes it over.
func (h *hosts) taken() (b block) {
	h.Helper()
	h.cluster("wal_level = minimal\nmax_wal_senders = 0\n")
	for _, b := range page(h.T) {
		if b.host == "server1" && strings.Contains(b.text, "--yes") {
			b.text = strings.ReplaceAll(b.text, "--yes", "--yes --restart")
			return b
		}
	}
	h.Fatal("docs/init.md takes nothing over")
	return b
}

// mustBeTaken looks at what has become of it.
func (h *hosts) mustBeTaken() {
	h.Helper()
	h.must("server1", "", "mcctl config check -M /etc/mcctl/orders")
	if in := h.sql("server1", "show wal_level", "show synchronous_standby_names", "select 1 from pg_roles where rolname = 'mcctl_replication'"); in != "replica\n\n1" {
		h.Errorf("in force is %q", in)
	}
}

// writing waits until clients write.
func (h *hosts) writing(p *probe.Probe) {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.Mark("the test goes on")
	h.ok(p.WaitCalm(ctx, time.Second/2))
}

func TestTakeOverKilledAnywhere(t *testing.T) {
	h, c := newHosts(t), &fault.Counts{}
	b := h.taken()
	p := h.writers()
	h.cutEverywhere(c, b.host, "", b.text)
	t.Logf("killed, and called again:%s", c)
	h.stepsOf(c).Promised(t, takeOver, "kill -9")
	h.mustBeTaken()
	h.judge(p)
}

// Without a byte left, and a page more whenever it has failed for want of it.
func TestTakeOverOnAFullDisk(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	d := fault.NewDisk(t, 400<<20)
	h, c := newHosts(t), &fault.Counts{}
	d.Replace(h.path("server1"))
	b := h.taken()
	p := h.writers()
	h.writing(p)
	d.Shrink()
	h.growing(c, d, b, "")
	t.Logf("failed for want of room, and called again:%s", c)
	d.Grow(400 << 20)
	c.Promised(t, takeOver, "full disk")
	h.mustBeTaken()
	h.judge(p)
}

// The network is gone before the command is called and until it has ended: nothing of
// it needs that. Clients wait, and go on.
func TestTakeOverWithoutNetwork(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	h, c := newHosts(t), &fault.Counts{}
	b := h.taken()
	p := h.writers()
	h.writing(p)
	fault.Network(t, false)
	out, err := h.run(b.host, "", b.text)
	fault.Network(t, true)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(out) {
		if step := h.lastStep(line); step != "beginning" {
			c.Add(b.host + ": " + step)
		}
	}
	t.Logf("without the network:%s", c)
	c.Promised(t, takeOver, "network cut")
	h.mustBeTaken()
	h.writing(p)
	h.judge(p)
}
