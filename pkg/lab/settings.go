package lab

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"mcctl/pkg/pair"
	"mcctl/pkg/pgconf"
)

// configure writes the PostgreSQL configuration of one server: server1's after
// initdb, server2's over the copy of server1's.
func (l *Lab) configure(s pair.Server) error {
	settings := l.settings(s)
	err := l.edit(s, "postgresql.conf", func(old []byte) []byte {
		f := pgconf.Parse(old)
		for _, name := range slices.Sorted(maps.Keys(settings)) {
			f.Set(name, settings[name])
		}
		// The supervisor comments this line out and brings it back. A new pair
		// begins with its primary alone.
		f.Set("synchronous_standby_names", string(other(s)))
		f.CommentOut("synchronous_standby_names")
		return f.Bytes()
	})
	if err != nil {
		return err
	}
	if err := l.edit(s, "pg_hba.conf", func([]byte) []byte { return []byte(hba) }); err != nil {
		return err
	}
	return l.edit(s, "pg_ident.conf", func([]byte) []byte { return []byte(l.ident()) })
}

// settings are the lab's own, with those of the options over them.
func (l *Lab) settings(s pair.Server) map[string]string {
	m := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(l.ClientPort(s)),
		"unix_socket_directories": l.socketDir(s),
		// Shown in ps, and the walreceiver's name where its conninfo has none.
		"cluster_name":          string(s),
		"password_encryption":   "scram-sha-256", // 13 still has md5
		"log_line_prefix":       "%m [%p] ",
		"wal_level":             "replica",
		"hot_standby":           "on",
		"max_wal_senders":       "10",
		"max_replication_slots": "10",
		"wal_log_hints":         "on",
		"wal_keep_size":         "64MB",
		// A primary that restarted by itself would let clients in past the supervisor.
		"restart_after_crash": "off",
		// In files of the data directory, so that nothing of a killed server outlives the lab.
		"dynamic_shared_memory_type": "mmap",
		// The walreceiver asks again this often; promotion may wait for it.
		"wal_retrieve_retry_interval": "100ms",
	}
	maps.Copy(m, l.state.Settings)
	return m
}

func other(s pair.Server) pair.Server {
	if s == Server1 {
		return Server2
	}
	return Server1
}

// hba lets the lab's user in as superuser over the unix socket, without a
// password, and everybody else over TCP with one.
const hba = `# TYPE  DATABASE     USER               ADDRESS       METHOD
local   all          postgres                         peer map=mcctl
host    all          all                127.0.0.1/32  scram-sha-256
host    replication  mcctl_replication  127.0.0.1/32  scram-sha-256
`

// ident says which users of this machine are the superuser; root could be anyway.
func (l *Lab) ident() string {
	text := "# MAP  SYSTEM-USER  PG-USER\n"
	for _, name := range slices.Compact([]string{l.run.Username, "root"}) {
		text += fmt.Sprintf("mcctl  %s  postgres\n", name)
	}
	return text
}
