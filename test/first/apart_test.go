package first

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// apart makes a PostgreSQL whose configuration is not in its data directory, as
// Debian's packages do it, and starts it.
func (h *hosts) apart() {
	h.Helper()
	bin, data, etc := os.Getenv("PG_BIN"), h.path("server1", "data"), h.path("server1", "etc")
	h.must("server1", "", bin+"/initdb -D "+data+" -A trust --no-sync")
	h.must("server1", "", fmt.Sprintf("mkdir %[1]s; mv %[2]s/*.conf %[1]s; mv %[1]s/postgresql.auto.conf %[2]s", etc, data))
	h.must("server1", "", fmt.Sprintf(`cat >>%[1]s/postgresql.conf <<END
data_directory = '%[2]s'
hba_file = '%[1]s/pg_hba.conf'
ident_file = '%[1]s/pg_ident.conf'
port = %[3]d
unix_socket_directories = '%[4]s'
cluster_name = 'server1'
END
%[5]s/pg_ctl -w -D %[1]s -l %[1]s/log start`, etc, data, h.ports["192.0.2.100:5432"], h.dir, bin))
	h.spaced()
}

// spaced gives the first server a tablespace.
func (h *hosts) spaced() {
	h.Helper()
	h.ok(os.Mkdir(h.path("server1", "fast"), 0o700))
	h.sql("server1", fmt.Sprintf("create tablespace fast location '%s'", h.path("server1", "fast")), "create table spaced (n int) tablespace fast", "insert into spaced values (42)")
}

// elsewhere has the second server join by other disks.
func (h *hosts) elsewhere(b block) block {
	h.Helper()
	if b.host == "server2" {
		b.text = h.byOtherDisks()
	}
	return b
}

// byOtherDisks is the page's block for a second server that keeps it, and pg_wal, elsewhere.
func (h *hosts) byOtherDisks() string {
	h.Helper()
	return strings.NewReplacer("/srv/wal/15-main", h.path("server2", "wal"), "/srv/fast2/orders", h.path("server2", "fast"),
		"/srv/fast/orders", h.path("server1", "fast")).Replace(pageBy(h.T, "other disks")[0].text)
}

// sql asks the PostgreSQL of a server.
func (h *hosts) sql(server string, statements ...string) string {
	h.Helper()
	port := h.ports[map[string]string{"server1": "192.0.2.100:5432", "server2": "192.0.2.110:5432"}[server]]
	args := ""
	for _, s := range statements {
		args += fmt.Sprintf(" -c \"%s\"", s)
	}
	return strings.TrimSpace(h.must(server, "", fmt.Sprintf("%s/psql -XAtq -h %s -p %d -d postgres%s", os.Getenv("PG_BIN"), h.dir, port, args)))
}

// A copy of the data has no configuration then: the second server says so, and takes
// the copies that the operator brings. A tablespace whose directory is not free there
// needs another one.
func TestConfigurationApart(t *testing.T) {
	h := newHosts(t)
	h.apart()
	w := walk{hosts: h}
	for _, b := range page(t) {
		switch {
		case b.how == "running":
			h.must(b.host, "", b.text)
			continue
		case b.how == "prints the token" && !strings.Contains(b.text, "--arbiter"):
			// Here the supervisor runs already, so that its port is taken.
			h.must(b.host, "", "mcctl start --async-connect-arbiter -M /etc/mcctl/orders")
			b.text = strings.TrimSpace(b.text) + " --listen 192.0.2.110:27540" // free as yet
		}
		w.usual(b, func(token string) { h.joinApart(b, token) })
	}
	h.mustBePair()
	text, err := os.ReadFile(h.path("server2", "etc", "postgresql.conf"))
	h.ok(err)
	for _, want := range []string{
		fmt.Sprintf("data_directory = '%s'", h.path("server2", "data")), fmt.Sprintf("hba_file = '%s'", h.path("server2", "etc", "pg_hba.conf")),
		fmt.Sprintf("port = '%d'", h.ports["192.0.2.110:5432"]), "cluster_name = 'server2'",
	} {
		if !strings.Contains(string(text), "\n"+want+"\n") {
			t.Errorf("postgresql.conf of server2 has no %s", want)
		}
	}
	h.mustLieElsewhere()
	h.switchOver()
	h.mustLieElsewhere()
}

// mustLieElsewhere looks at what of server2 is not in its data directory.
func (h *hosts) mustLieElsewhere() {
	h.Helper()
	dir, err := filepath.EvalSymlinks(h.path("server2")) // on a small disk, where that is full
	h.ok(err)
	if got, want := h.sql("server2", "select n || pg_tablespace_location(oid) from spaced, pg_tablespace where spcname = 'fast'"), "42"+filepath.Join(dir, "fast"); got != want {
		h.Errorf("row and place of the tablespace are %s, want %s", got, want)
	}
	if to, err := os.Readlink(h.path("server2", "data", "pg_wal")); err != nil || to != filepath.Join(dir, "wal") {
		h.Errorf("pg_wal leads to %s, %v", to, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.new"))
	if h.ok(err); len(left) > 0 {
		h.Errorf("left behind: %v", left)
	}
}

func (h *hosts) joinApart(b block, token string) {
	h.Helper()
	if b.host == "arbiter" {
		h.must(b.host, token, b.text)
		return
	}
	refused := func(text, want string) {
		h.Helper()
		if out, err := h.run(b.host, token, text); err == nil || !strings.Contains(out, want) {
			h.Fatalf("it is not said: %s: %v\n%s", want, err, out)
		}
	}
	refused(b.text, "bring copies of both files to this host, then run the same command with --config-file FILE --hba-file FILE")
	etc := h.path("server2", "etc")
	h.must(b.host, "", fmt.Sprintf("mkdir %[1]s; cp %[2]s/*.conf %[1]s", etc, h.path("server1", "etc")))
	more := fmt.Sprintf(" --config-file %[1]s/postgresql.conf --hba-file %[1]s/pg_hba.conf --ident-file %[1]s/pg_ident.conf", etc)
	fast := h.path("server1", "fast")
	refused(strings.TrimSpace(b.text)+more, "say where it shall be on this host: --tablespace-mapping "+fast+"=DIR")
	disks := h.byOtherDisks()
	refused(strings.ReplaceAll(disks, fast+"=", "/srv/fast/orders="), "the first server has no tablespace in /srv/fast/orders; it has "+fast)
	h.must(b.host, "", disks)
}
