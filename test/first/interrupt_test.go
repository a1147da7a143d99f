package first

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"mcctl/test/fault"
)

// Each mcctl init has hardly any room at first, and a page more whenever it has failed
// for want of it.
func TestFullDiskAnywhere(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	disks := map[string]*fault.Disk{}
	for _, name := range []string{"server1", "server2", "arbiter"} {
		disks[name] = fault.NewDisk(t, 4<<10)
	}
	h, c := newHosts(t), &fault.Counts{}
	for name, d := range disks {
		h.ok(os.Remove(h.path(name)))
		h.ok(os.Symlink(d.Dir, h.path(name)))
	}
	w := walk{hosts: h}
	for _, b := range page(t) {
		switch b.how {
		case "new":
			h.growing(c, disks[b.host], b, "")
			disks[b.host].Grow(200 << 20)
			h.spaced()
		case "":
			disks[b.host].Grow(200 << 20)
		}
		w.usual(b, func(token string) { h.growing(c, disks[b.host], h.elsewhere(b), token) })
	}
	t.Logf("failed for want of room, and called again:%s", c)
	h.mustBePair()
	h.mustLieElsewhere()
	c.Promised(t, "mcctl init", "full disk")
}

// growing calls a command until it has room enough. A step that goes on failing gets more:
// clients that write at the same time take of what it is given.
func (h *hosts) growing(c *fault.Counts, d *fault.Disk, b block, stdin string) {
	h.Helper()
	last, failed := "", map[string]int{}
	for range 100 {
		out, err := h.run(b.host, stdin, b.text)
		if err == nil {
			return
		}
		exit, _ := err.(*exec.ExitError)
		if exit == nil || exit.ExitCode() != 1 || !slices.ContainsFunc(noRoom(), func(words string) bool { return strings.Contains(strings.ToLower(out), words) }) {
			h.Fatalf("on %s, a full disk is told so: %v\n%s", b.host, err, out)
		}
		if !strings.Contains(out, "hint: when that is mended run the same command again: it goes on") && !strings.Contains(out, "hint: nothing was changed") {
			h.Fatalf("on %s, nothing is said of how to go on:\n%s", b.host, out)
		}
		step := h.lastStep(out)
		if step != "beginning" {
			c.Add(b.host + ": " + step)
		}
		by := int64(4<<10) << (failed[step] / 10)
		failed[step]++
		switch step { // a cluster takes some 40 MB
		case "creating the cluster", "starting PostgreSQL", "copying the data of the first server", "giving the copy its name":
			by = 3 << 20
		}
		d.Grow(by)
		last = out
	}
	h.Fatalf("on %s it never comes to its end; last:\n%s%s", b.host, last, c)
}

// noRoom is what is said of a full disk: by the system, by PostgreSQL that has written a
// part (disk_full, with or without its code), and by one that cannot write what its
// sessions begin with.
func noRoom() []string {
	return []string{"no space left on device", "sqlstate 53100", "check free disk space", "could not write init file"}
}

// lastStep is the last thing that a command has said it does.
func (h *hosts) lastStep(out string) string {
	step := "beginning"
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		for _, begins := range []string{"making", "writing", "creating the cluster", "stopping PostgreSQL", "starting PostgreSQL", "editing", "copying the data", "giving the copy"} {
			if strings.HasPrefix(line, begins) {
				step, _, _ = strings.Cut(line, " in /")
				step = strings.Replace(step, h.path("server1", "data")+"/", "", 1)
			}
		}
	}
	return step
}

// The network is cut at each thing that mcctl init says, until it fails for that or
// the network is back.
func TestNetworkCutAnywhere(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	h, c := newHosts(t), &fault.Counts{}
	w := walk{hosts: h}
	for _, b := range page(t) {
		if b.how == "new" {
			h.unplugged(c, b, "")
			h.spaced()
		}
		w.usual(b, func(token string) { h.unplugged(c, h.elsewhere(b), token) })
	}
	t.Logf("cut from the network:%s", c)
	h.mustBePair()
	h.mustLieElsewhere()
	c.Promised(t, "mcctl init", "network cut")
}

// unplugged cuts the network at the first line, in the next call at the second, and then
// at the first line of the copy. What has to do without it fails and says so; what is
// only held up goes on.
func (h *hosts) unplugged(c *fault.Counts, b block, stdin string) {
	h.Helper()
	for _, n := range []int{1, 2, 5, 60} {
		r := h.follows(b, stdin, n, func() { fault.Network(h.T, false) })
		if r.at == "" { // it has no such line
			fault.Network(h.T, true)
			if r.err != nil {
				h.Fatalf("on %s: %v\n%s", b.host, r.err, r.out)
			}
			return
		}
		step := strings.ReplaceAll(h.lastStep(r.at), h.dir, "")
		if step != "beginning" {
			c.Add(b.host + ": " + step)
		}
		if r.err == nil {
			return // with and without the network
		}
		if !strings.Contains(r.out, "hint: ") || !strings.Contains(r.out, "mcctl: init: ") {
			h.Fatalf("on %s, cut off at %s, nothing clear is said: %v\n%s", b.host, r.at, r.err, r.out)
		}
		h.Logf("%s, cut off at %s: %s", b.host, r.at, r.out[strings.Index(r.out, "mcctl: init: "):])
	}
	h.Fatalf("on %s it never comes to its end", b.host)
}

// followed is a command that something was done to at a line.
type followed struct {
	at, out string
	err     error
}

// cutFor is how long the network is gone; longer than an exchange of tokens may take.
const cutFor = 12 * time.Second

// follows runs a block that is one command and does something at its n-th line, before
// the command has said anything more. Where the command waits, the network is back after
// a while.
func (h *hosts) follows(b block, stdin string, n int, do func()) (r followed) {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	said, says := stepwise(h.T)
	defer said.Close()
	cmd := h.shell(ctx, b.host, "exec "+b.text)
	cmd.Stdin, cmd.Stdout = strings.NewReader(stdin), says
	var complaints strings.Builder
	cmd.Stderr = &complaints
	h.ok(cmd.Start())
	h.ok(says.Close())
	var back *time.Timer
	for message := h.peek(said); message != ""; message = h.peek(said) {
		r.out += message
		if r.at == "" && strings.Count(r.out, "\n") >= n {
			r.at = r.out
			do()
			back = time.AfterFunc(cutFor, func() { fault.Network(h.T, true) })
		}
		h.take(said)
	}
	r.err = cmd.Wait()
	r.out += complaints.String()
	if back != nil {
		back.Stop()
		fault.Network(h.T, true)
	}
	return r
}
