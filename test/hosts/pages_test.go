package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mcctl/test/blocks"
)

// What stands on a page for root is executed here; the rest of docs/init.md is test/first's,
// and of it only as much is done here as it takes to a pair.
const (
	initPage    = "docs/init.md"
	systemdPage = "docs/systemd.md"
)

// notHere are blocks for root that no host of ours can execute; test/tidy says why.
const notHere = "on server1, as root, on Red Hat"

// reader sets up a pair as the pages say, on three hosts that have Debian's packages and
// nothing of mcctl.
type reader struct {
	*testing.T
	w     *world
	pages map[string][]*pageBlock
	major string // of PostgreSQL, where the pages have 15
}

// pageBlock is a block whose first line says where and how it is run.
type pageBlock struct {
	blocks.Block
	head  string
	hosts []string
	root  bool
	done  bool
}

func newReader(t *testing.T, w *world) *reader {
	t.Helper()
	r := &reader{T: t, w: w, pages: map[string][]*pageBlock{}}
	bin, err := w.binDirectory()
	r.ok(err)
	r.major = filepath.Base(filepath.Dir(bin))
	for _, page := range []string{initPage, systemdPage} {
		path, err := findUp(page)
		r.ok(err)
		found, err := blocks.In(strings.TrimSuffix(path, page), page)
		r.ok(err)
		for _, b := range found {
			p := &pageBlock{Block: b, head: strings.TrimPrefix(b.Lines[0], "# "), root: strings.Contains(b.Lines[0], ", as root")}
			for name, word := range map[string]string{"a": "server1", "b": "server2", "w": "arbiter"} {
				where, _, _ := strings.Cut(p.head, ",")
				if strings.Contains(where, word) || strings.Contains(where, "each host") {
					p.hosts = append(p.hosts, name)
				}
			}
			r.pages[page] = append(r.pages[page], p)
		}
	}
	return r
}

func (r *reader) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(errors.Join(err, r.w.keepLogs("pages")))
	}
}

// next is the first block with this head that was not executed yet.
func (r *reader) next(page, head string) *pageBlock {
	r.Helper()
	for _, b := range r.pages[page] {
		if b.head == head && !b.done {
			b.done = true
			return b
		}
	}
	r.Fatalf("%s has no (other) block that begins with # %s", page, head)
	return nil
}

// do executes it, on all of its hosts at once.
func (r *reader) do(page, head string) {
	r.Helper()
	b := r.next(page, head)
	r.Logf("%s:%d: %s", page, b.Line, head)
	r.each(b.hosts, func(h *host) error { return r.run(h, b) })
}

func (r *reader) run(h *host, b *pageBlock) error {
	user, text := "postgres", b.Text()
	switch {
	case b.root:
		user, text = "root", "cd "+builtIn+"\n"+text
	case h.name == "w":
		user = "mcctl"
	}
	_, err := h.run(r.Context(), user, "bash", "-euc", r.own(text))
	return err
}

// root runs what is on no page.
func (r *reader) root(host, text string) {
	r.Helper()
	_, err := r.w.hosts[host].run(r.Context(), "root", "bash", "-euc", r.own(text))
	r.ok(err)
}

func (r *reader) each(names []string, do func(*host) error) {
	r.Helper()
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { errs[i] = do(r.w.hosts[name]) })
	}
	all.Wait()
	r.ok(errors.Join(errs...))
}

// own puts these hosts' addresses and PostgreSQL in the place of the page's.
func (r *reader) own(text string) string {
	return strings.NewReplacer("192.0.2.100", "10.77.0.1", "192.0.2.110", "10.77.0.2", "192.0.3.120", "10.77.0.3",
		"postgresql/15/", "postgresql/"+r.major+"/", " 15 main", " "+r.major+" main", "@15-main", "@"+r.major+"-main").Replace(text)
}

// join executes a block that prints a token and one that takes it.
func (r *reader) join(serve, take string) {
	r.Helper()
	from, to := r.next(initPage, serve), r.next(initPage, take)
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	user := map[bool]string{true: "mcctl", false: "postgres"}[to.hosts[0] == "w"]
	serving, err := r.w.hosts["a"].inside(ctx, "postgres", "bash", "-euc", r.own(from.Text()))
	r.ok(err)
	taking, err := r.w.hosts[to.hosts[0]].inside(ctx, user, "bash", "-euc", r.own(to.Text()))
	r.ok(err)
	r.ok(carryToken(serving, taking))
}

// paired executes the block that ends the setup, until it succeeds.
func (r *reader) paired() {
	r.Helper()
	const head = "on server2, until it succeeds"
	for _, b := range r.pages[initPage] {
		if b.head == head {
			b.done = true
			r.ok(r.w.until(r.Context(), "paired", patience, func(context.Context) error { return r.run(r.w.hosts["b"], b) }))
			return
		}
	}
	r.Fatalf("%s has no block that begins with # %s", initPage, head)
}

// readPages follows docs/init.md up to its step 4, which is done by docs/systemd.md here.
func readPages(t *testing.T, w *world) {
	r := newReader(t, w)
	r.ok(w.bareHosts())
	defer func() {
		w.bare = false
		r.ok(w.down())
	}()
	for _, h := range []string{"a", "b"} { // as Debian's package leaves it
		r.root(h, "install -d -o postgres -g postgres /var/lib/postgresql")
	}
	r.do(initPage, "on each host, as root")
	r.do(initPage, "on server1 and server2, as root")
	r.do(initPage, "on arbiter, as root")
	r.debianClusters()
	r.do(initPage, "on server1, new")
	r.join("on server1, prints the token", "on arbiter, takes the token")
	r.join("on server1, prints the token", "on server2, takes the token")
	r.units()
	r.handOver()
	r.needrestart()
	for page, all := range r.pages {
		for _, b := range all {
			if !b.done && b.head != notHere && (b.root || page == systemdPage) {
				t.Errorf("%s:%d: the block that begins with # %s is executed by nothing", page, b.Line, b.head)
			}
		}
	}
}

// debianClusters has the package's clusters kept from starting at boot, and then removed.
func (r *reader) debianClusters() {
	r.Helper()
	const wanted = "/run/systemd/generator/postgresql.service.wants/postgresql@15-main.service"
	r.each([]string{"a", "b"}, func(h *host) error {
		_, err := h.run(r.Context(), "root", "bash", "-euc", r.own("pg_createcluster --start 15 main\nsystemctl daemon-reload\ntest -e "+wanted))
		return err
	})
	r.do(initPage, "on server1, as root, if its cluster is kept; on server2 when its configuration is there")
	r.root("a", "test ! -e "+wanted)
	r.do(initPage, "on server1 and server2, as root, if the cluster is of no use")
	for _, h := range []string{"a", "b"} {
		r.root(h, "test ! -e /var/lib/postgresql/15/main/PG_VERSION && test ! -e /etc/postgresql/15/main/postgresql.conf && ! pgrep -x postgres")
	}
}

// units has systemd start everything, and later a server again after maintenance.
func (r *reader) units() {
	r.Helper()
	b := r.next(systemdPage, "on server1 and server2, a drop-in")
	for _, h := range []string{"a", "b"} {
		r.root(h, "d=/etc/systemd/system/mcctl@orders.service.d\nmkdir -p $d\ncat >$d/override.conf <<'END'\n"+
			strings.ReplaceAll(b.Text(), "/srv/pg", "/var/lib/postgresql")+"END")
	}
	r.do(systemdPage, "on arbiter, as root")
	r.do(systemdPage, "on server1 and server2, as root")
	r.paired()
	r.root("a", "systemctl show mcctl@orders -p RequiresMountsFor | grep -w /var/lib/postgresql")
	for h, unit := range map[string]string{"a": "mcctl@orders", "b": "mcctl@orders", "w": "mcctl-arbiter"} {
		r.root(h, fmt.Sprintf("test $(systemctl is-active %[1]s) = active && test $(systemctl is-enabled %[1]s) = enabled", unit))
	}
}

// handOver: a server is disabled for maintenance, then started by hand, then given to the
// unit while its PostgreSQL goes on.
func (r *reader) handOver() {
	r.Helper()
	r.do(systemdPage, "on server2, as root, before")
	r.root("b", "test $(systemctl is-active mcctl@orders) = inactive && test $(systemctl is-enabled mcctl@orders) = disabled && ! pgrep -x postgres")
	r.do(initPage, "on server2")
	r.paired()
	before, err := r.w.hosts["b"].process("postmaster")
	r.ok(err)
	r.do(systemdPage, "on server2, started by hand")
	r.do(systemdPage, "on server2, as root, started by hand")
	r.do(systemdPage, "on server2, as root, afterwards")
	r.paired()
	if after, err := r.w.hosts["b"].process("postmaster"); err != nil || after != before {
		r.Errorf("the postmaster is %d, %v, and was %d", after, err, before)
	}
	r.root("b", "test $(systemctl is-active mcctl@orders) = active && test $(systemctl is-enabled mcctl@orders) = enabled")
}

// needrestart is not on these hosts: its line is read as it reads it.
func (r *reader) needrestart() {
	r.Helper()
	b := r.next(systemdPage, "on each host, for needrestart")
	r.root("a", "cat >/root/mcctl.conf <<'END'\n"+b.Text()+"END\n"+
		`perl -we 'our %nrconf; do "/root/mcctl.conf"; die $@ if $@; exit !grep { "mcctl\@orders.service" =~ /$_/ } keys %{$nrconf{override_rc}}'`)
}

// bareHosts boots hosts that have nothing of mcctl, on empty disks.
func (w *world) bareHosts() error {
	if err := w.down(); err != nil {
		return err
	}
	w.bare, w.apart, w.clocks = true, false, false
	for _, name := range hostNames() {
		h := w.hosts[name]
		if err := errors.Join(os.RemoveAll(h.dir()), h.make(), h.disks()[0].make(), h.boot()); err != nil {
			return err
		}
	}
	return nil
}
