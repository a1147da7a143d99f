package first

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/probe"
	pageblocks "mcctl/test/blocks"
)

// block is a command block of the page: its first line says where and how it is run.
type block struct{ host, how, text string }

// page is the story with a witness.
func page(t *testing.T) (blocks []block) {
	t.Helper()
	for _, b := range allBlocks(t) {
		if !strings.HasPrefix(b.how, "by ") {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// pageBy is what another arbiter has instead.
func pageBy(t *testing.T, what string) (blocks []block) {
	t.Helper()
	for _, b := range allBlocks(t) {
		if b.how == "by "+what {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

func allBlocks(t *testing.T) (blocks []block) {
	t.Helper()
	found, err := pageblocks.In("../..", "docs/init.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range found {
		where, isHead := strings.CutPrefix(b.Lines[0], "# on ")
		if !isHead || b.Language != "sh" {
			t.Fatalf("docs/init.md:%d: a block begins with %q, not with # on HOST", b.Line, b.Lines[0])
		}
		host, how, _ := strings.Cut(where, ", ")
		blocks = append(blocks, block{host, how, strings.Join(b.Lines[1:], "\n") + "\n"})
	}
	return blocks
}

// walk goes through the page: it has the token from the block that prints it until the one
// that takes it.
type walk struct {
	*hosts
	given  string
	served <-chan error
}

// usual runs a block as its first line says; join takes the token. It reports whether that
// line says something that every story knows.
func (w *walk) usual(b block, join func(token string)) bool {
	w.Helper()
	switch b.how {
	case "prints the token":
		w.given, w.served = w.token(b.host, b.text)
	case "takes the token":
		join(w.given)
		w.ok(<-w.served)
	case "until it succeeds":
		w.eventually(b.host, b.text)
	case "":
		w.must(b.host, "", b.text)
	default:
		return false
	}
	return true
}

// follow executes the blocks of the page; leave says which ones this story has not.
func (h *hosts) follow(leave string, each func(block)) {
	h.Helper()
	w := walk{hosts: h}
	for _, b := range page(h.T) {
		if strings.HasPrefix(b.how, leave) {
			continue
		}
		if strings.HasPrefix(b.how, "as root") {
			continue // this test has no root: they are test/hosts's, and the directories its own
		}
		switch each(b); b.how {
		case "running, refused":
			if out, err := h.run(b.host, "", b.text); err == nil || !strings.Contains(out, "nothing was changed") {
				h.Fatalf("edits were made without consent: %v\n%s", err, out)
			}
		case "new", "running":
			h.must(b.host, "", b.text)
		default:
			if !w.usual(b, func(token string) { h.must(b.host, token, b.text) }) {
				h.Fatalf("docs/init.md: nobody knows how to run a block %q", b.how)
			}
		}
	}
}

// cluster makes a PostgreSQL with data as it is found in the field, and starts it.
func (h *hosts) cluster(settings string) {
	h.Helper()
	bin, data := os.Getenv("PG_BIN"), h.path("server1", "data")
	h.must("server1", "", bin+"/initdb -D "+data+" -A trust --no-sync")
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	h.ok(err)
	_, err = fmt.Fprintf(f, "port=%d\nunix_socket_directories = '%s'\n%s", h.ports["192.0.2.100:5432"], h.dir, settings)
	h.ok(err)
	h.ok(f.Close())
	h.must("server1", "", bin+"/pg_ctl -w -D "+data+" -l "+h.path("server1", "log")+" start")
}

// writers write to whichever server takes it.
func (h *hosts) writers() *probe.Probe {
	h.Helper()
	p, err := probe.Start(context.Background(), probe.Options{
		URI: fmt.Sprintf(
			"postgresql://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable", h.ports["192.0.2.100:5432"], h.ports["192.0.2.110:5432"]),
		Interval: 20 * time.Millisecond, Retry: 50 * time.Millisecond,
	})
	h.ok(err)
	return p
}

func (h *hosts) judge(p *probe.Probe) {
	h.Helper()
	r, err := p.Stop()
	if err != nil {
		h.Fatal(err)
	}
	if !r.Safe() {
		h.Errorf("writers: %s", r.Verdict())
	}
	h.Logf("%d rows acknowledged, longest gap %s, %s", r.Acked, r.Longest.Length, r.Verdict())
}

// A primary with data, while clients write, becomes a pair by the page.
func TestOverARunningPrimary(t *testing.T) {
	h := newHosts(t)
	// What a pair cannot live with; the page's restart brings all of it right.
	h.cluster("listen_addresses = 'localhost'\nwal_level = minimal\nmax_wal_senders = 0 # none\nmax_replication_slots = 1\n")
	p := h.writers()
	h.follow("new", func(b block) { p.Mark(b.host + " " + b.how) })
	h.mustBePair()
	h.compare()
	h.switchOver()
	h.judge(p)
}

// mustBePair asks PostgreSQL itself, and looks at what must not be readable.
func (h *hosts) mustBePair() {
	h.Helper()
	query := fmt.Sprintf("%s/psql -X -At -h %s -p %d -d postgres -c \"select application_name || ' ' || sync_state from pg_stat_replication\"",
		os.Getenv("PG_BIN"), h.path(), h.ports["192.0.2.100:5432"])
	if out := h.must("server1", "", query); strings.TrimSpace(out) != "server2 sync" {
		h.Errorf("the primary replicates to %q", out)
	}
	for _, server := range []string{"server1", "server2"} {
		for _, secret := range []string{"pgpass", "init.json", "tls/" + server + ".key"} {
			info, err := os.Stat(h.path(server, "mc", secret))
			h.ok(err)
			if info.Mode().Perm() != 0o600 {
				h.Errorf("%s of %s has mode %v", secret, server, info.Mode())
			}
		}
		h.must(server, "", "mcctl config check -M /etc/mcctl/orders")
	}
	log, err := exec.Command("grep", "-rl", "PASSWORD '", h.path("server1", "log"), h.path("server1", "mc", "log")).Output()
	if err == nil {
		h.Errorf("a password stands in %s", log)
	}
}

// switchOver shows that each server can be primary and the other follows it.
func (h *hosts) switchOver() {
	h.Helper()
	h.must("server1", "", "mcctl switch -M /etc/mcctl/orders")
	h.eventually("server1", "mcctl status --check -M /etc/mcctl/orders")
}

// config diff sees what differs between the servers, and config check all problems.
func (h *hosts) compare() {
	h.Helper()
	pair := h.path("server2", "mc", "pair.toml")
	text, err := os.ReadFile(pair)
	h.ok(err)
	h.ok(os.WriteFile(pair, append(text, "commit_stall_max = \"4s\"\n"...), 0o600))
	out, err := h.run("server1", "", "mcctl config diff -M /etc/mcctl/orders")
	if err == nil || !strings.Contains(out, `timings.commit_stall_max`) || !strings.Contains(out, `"4s" (pair.toml:`) {
		h.Errorf("the difference is not shown: %v\n%s", err, out)
	}
	var differ struct {
		Keys []struct{ Here, There struct{ Value string } }
	}
	out, err = h.run("server1", "", "mcctl config diff -o json -M /etc/mcctl/orders")
	if unread := json.Unmarshal([]byte(out), &differ); err == nil || unread != nil || len(differ.Keys) != 1 || differ.Keys[0].Here.Value != `"2s"` || differ.Keys[0].There.Value != `"4s"` {
		h.Errorf("the difference is not told to programs: %v, %v\n%s", err, unread, out)
	}
	h.eventually("server2", `mcctl events -M /etc/mcctl/orders | grep 'timings.commit_stall_max: "2s" -> "4s" (in force)'`)
	h.ok(os.WriteFile(pair, append(text, "x = 1\nprobe_timeout = 1\n"...), 0o600))
	out, err = h.run("server2", "", "mcctl config check -M /etc/mcctl/orders")
	if err == nil || !strings.Contains(out, "timings.x: is not a known key") || !strings.Contains(out, "timings.probe_timeout: \"1\" is not a duration") {
		h.Errorf("not all problems are told: %v\n%s", err, out)
	}
	var sound struct {
		Sound    bool
		Problems []config.Problem
	}
	out, err = h.run("server2", "", "mcctl config check -o json -M /etc/mcctl/orders")
	if unread := json.Unmarshal([]byte(out), &sound); err == nil || unread != nil || sound.Sound || len(sound.Problems) != 2 || sound.Problems[0].Path != pair || sound.Problems[0].Line == 0 {
		h.Errorf("not all problems are told to programs: %v, %v\n%s", err, unread, out)
	}
	h.eventually("server2", `mcctl events -M /etc/mcctl/orders | grep 'timings.x: is not a known key'`)
	h.ok(os.WriteFile(pair, text, 0o600))
	h.must("server2", "", "mcctl config show -M /etc/mcctl/orders | grep -E '^timings.commit_stall_max +\"2s\" +profile default$'")
	h.eventually("server1", "mcctl config diff -M /etc/mcctl/orders")
}

// What stands in pg_hba.conf is not read while a line of it is bad. When that is mended,
// the call that goes on has to have it read: else no server would let the other in.
func TestABadLineIsMended(t *testing.T) {
	h := newHosts(t)
	h.cluster("")
	hba := h.path("server1", "data", "pg_hba.conf")
	h.ok(os.WriteFile(hba, []byte("local all all trust\n"), 0o600))
	h.must("server1", "", fmt.Sprintf("%s/pg_ctl -w -D %s -l %s restart", os.Getenv("PG_BIN"), h.path("server1", "data"), h.path("server1", "log")))
	h.ok(os.WriteFile(hba, []byte("local all all trust\nhost all all nonsense\n"), 0o600))
	for _, b := range page(t) {
		if b.how != "running" || !strings.Contains(b.text, "--yes") {
			continue
		}
		h.mustFail(b.host, "", b.text, "does not read its pg_hba.conf until this is mended", "run the same command again: it goes on")
		text, err := os.ReadFile(hba)
		h.ok(err)
		h.ok(os.WriteFile(hba, []byte(strings.ReplaceAll(string(text), "host all all nonsense\n", "")), 0o600))
		h.must(b.host, "", b.text)
	}
	h.must("server1", "", fmt.Sprintf("PGPASSFILE=%s %s/psql -X -h 127.0.0.1 -p %d -U mcctl_replication -d postgres -c 'select 1'",
		h.path("server1", "mc", "pgpass"), os.Getenv("PG_BIN"), h.ports["192.0.2.100:5432"]))
}

// Who has taken over meanwhile may be the other server: a PostgreSQL that is down is
// opened by its supervisor, which asks, and by nobody else.
func TestRestartStartsNothing(t *testing.T) {
	h := newHosts(t)
	for _, b := range page(t) {
		if b.how == "new" {
			h.must(b.host, "", strings.ReplaceAll(b.text, "--arbiter-address 192.0.3.120:27541", "--no-arbiter"))
		}
	}
	restart := "mcctl init --restart -M /etc/mcctl/orders"
	refused := func(why string) {
		h.Helper()
		pidFile := h.path("server1", "data", "postmaster.pid")
		before, _ := os.ReadFile(pidFile)
		h.mustFail("server1", "", restart, why)
		if after, _ := os.ReadFile(pidFile); string(after) != string(before) {
			h.Error("PostgreSQL was started")
		}
	}
	h.must("server1", "", restart)
	h.must("server1", "", fmt.Sprintf("%s/pg_ctl -w -D %s -m fast stop", os.Getenv("PG_BIN"), h.path("server1", "data")))
	refused("it is down; mcctl start -M " + h.path("server1", "mc") + " starts it")

	supervised := "since mcctl start that is left to the supervisor: mcctl switch "
	start, stop := "mcctl start -M /etc/mcctl/orders", "mcctl stop -M /etc/mcctl/orders"
	h.must("server1", "", start)
	refused(supervised)
	h.mustWaitForARestart("max_wal_senders", stop, start)
	h.must("server1", "", stop)
	refused(supervised)
}

// mustWaitForARestart lets no server join a supervised first one on which a setting waits
// for a restart, and what that says to do must help.
func (h *hosts) mustWaitForARestart(setting, stop, start string) {
	h.Helper()
	h.sql("server1", "alter system set "+setting+" = 2")
	h.must("server1", "", stop+"; "+start)
	h.sql("server1", "alter system reset "+setting)
	serve := "mcctl init --serve-token --life 1s -M /etc/mcctl/orders"
	h.mustFail("server1", "", serve, fmt.Sprintf("has to be restarted first (%s, then %s), for %s\n", h.own("server1", stop), h.own("server1", start), setting))
	h.must("server1", "", stop+"; "+start)
	h.mustFail("server1", "", serve, "nobody joined before the token ended")
}
