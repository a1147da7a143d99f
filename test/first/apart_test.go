package first

import (
	"fmt"
	"os"
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
}

// A copy of the data has no configuration then: the second server says so, and takes
// the copies that the operator brings.
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
	h.switchOver()
}

func (h *hosts) joinApart(b block, token string) {
	h.Helper()
	if b.host == "arbiter" {
		h.must(b.host, token, b.text)
		return
	}
	out, err := h.run(b.host, token, b.text)
	if err == nil || !strings.Contains(out, "bring copies of both files to this host, then run the same command with --config-file FILE --hba-file FILE") {
		h.Fatalf("nothing is said of files that no copy has: %v\n%s", err, out)
	}
	etc := h.path("server2", "etc")
	h.must(b.host, "", fmt.Sprintf("mkdir %[1]s; cp %[2]s/*.conf %[1]s", etc, h.path("server1", "etc")))
	more := fmt.Sprintf(" --config-file %[1]s/postgresql.conf --hba-file %[1]s/pg_hba.conf --ident-file %[1]s/pg_ident.conf", etc)
	h.must(b.host, "", strings.TrimSpace(b.text)+more)
}
