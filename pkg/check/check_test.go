package check_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mcctl/pkg/check"
	"mcctl/pkg/config"
	"mcctl/pkg/disk"
	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// A way to make one check fail on a real pair, and to make it clean again.
type spoiled struct {
	id string
	on pair.Server
	// spoil changes the servers; what it returns mends them.
	spoil func(*stage) func()
	// conf changes the configuration that server1 is looked at with.
	conf func(*stage, *config.Config)
	// bend changes what was seen, where the world cannot be changed: clocks, disks.
	bend func(*check.Scene)
}

const (
	one = lab.Server1
	two = lab.Server2
)

func online() []spoiled {
	set := func(on pair.Server, line string) func(*stage) func() {
		return func(s *stage) func() { return s.set(on, line) }
	}
	return []spoiled{
		{id: "fsync", on: one, spoil: set(one, "fsync = off")},
		{id: "full-page-writes", on: two, spoil: set(two, "full_page_writes = off")},
		{id: "synchronous-commit", on: one, spoil: set(one, "synchronous_commit = local")},
		{id: "synchronous-commit", on: two, spoil: func(s *stage) func() {
			s.sql(one, `alter role app in database app set synchronous_commit = off`)
			return func() { s.sql(one, `alter role app in database app reset synchronous_commit`) }
		}},
		{id: "synchronous-commit", on: one, spoil: func(s *stage) func() {
			s.sql(one, `alter database app set synchronous_commit = remote_write`)
			return func() { s.sql(one, `alter database app reset synchronous_commit`) }
		}},
		{id: "synchronous-commit", on: one, spoil: func(s *stage) func() {
			s.sql(one, `alter role all set synchronous_commit = off`)
			return func() { s.sql(one, `alter role all reset synchronous_commit`) }
		}},
		{id: "synchronous-commit", on: one, spoil: set(one, "synchronous_commit = False")},
		{id: "retry-interval", on: two, spoil: set(two, "wal_retrieve_retry_interval = 5s")},
		{id: "wal-timeouts", on: one, spoil: set(one, "wal_sender_timeout = 0")},
		{id: "wal-timeouts", on: two, spoil: set(two, "wal_receiver_timeout = 500ms")},
		{id: "apply-delay", on: two, spoil: set(two, "recovery_min_apply_delay = 1ms")},
		{id: "configuration-errors", on: one, spoil: set(one, "work_mem = nonsense")},
		{id: "pending-restart", on: two, spoil: set(two, "max_connections = 300")},
		{id: "hba-errors", on: one, spoil: func(s *stage) func() {
			return s.edit(s.conf[one].Server.HBAFile, func(old string) string { return old + "host nonsense\n" })
		}},
		{id: "hba-errors", on: two, spoil: func(s *stage) func() { // which keeps the old rules at a reload
			return s.edit(s.conf[two].Server.HBAFile, func(string) string { return "# nothing\n" })
		}},
		{id: "replication-connection", on: two, spoil: rejected("host replication all 127.0.0.1/32 reject\n")},
		{id: "ordinary-connection", on: two, spoil: rejected("host all mcctl_replication 127.0.0.1/32 reject\n")},
		{id: "rewind-rights", on: two, spoil: func(s *stage) func() {
			const f = "pg_catalog.pg_read_binary_file(text)"
			s.sql(one, "revoke execute on function "+f+" from mcctl_replication")
			return func() { s.sql(one, "grant execute on function "+f+" to mcctl_replication") }
		}},
		{id: "replay-paused", on: two, spoil: func(s *stage) func() {
			s.sql(two, "select pg_wal_replay_pause()")
			return func() { s.sql(two, "select pg_wal_replay_resume()") }
		}},
		{id: "slot-lost", on: two, spoil: slotLost},
		{id: "slot-retention", on: one, spoil: idleSlot, bend: func(s *check.Scene) { free(s, 1<<20) }},
		{id: "slot-idle-timeout", on: two, spoil: func(s *stage) func() {
			if s.sql(two, "select count(*) from pg_settings where name = 'idle_replication_slot_timeout'") == "0" {
				return func() {}
			}
			return s.set(two, "idle_replication_slot_timeout = 1h")
		}, bend: func(s *check.Scene) { // before 18
			if _, known := s.There.Postgres.Settings["idle_replication_slot_timeout"]; !known {
				s.There.Postgres.Settings["idle_replication_slot_timeout"] = postgres.Setting{Value: "3600", Unit: "s", Shown: "1h"}
			}
		}},
		{id: "archiver-failing", on: one, spoil: func(s *stage) func() {
			back := s.set(one, "archive_command = 'false'")
			s.sql(one, "select pg_logical_emit_message(false, '', '')", "select pg_switch_wal()")
			return func() { back() }
		}},
		{id: "archiver-backlog", on: one, spoil: backlog},
	}
}

// rejected puts a line on top of server1's pg_hba.conf.
func rejected(line string) func(*stage) func() {
	return func(s *stage) func() {
		back := s.edit(s.conf[one].Server.HBAFile, func(old string) string { return line + old })
		s.sql(one, "select pg_reload_conf()")
		return func() { back(); s.sql(one, "select pg_reload_conf()") }
	}
}

// slotLost makes a slot on the standby lose its log.
func slotLost(s *stage) func() {
	s.sql(two, "select pg_create_physical_replication_slot('mcctl_server1', true)")
	back := s.set(two, "max_slot_wal_keep_size = 1MB\nwal_keep_size = 0")
	// A restartpoint needs a newer checkpoint of the primary, and one that began before
	// the reload had come through to the checkpointer has kept the log.
	s.eventually("the slot has lost its log", func() bool {
		for range 3 {
			s.sql(one, "select pg_logical_emit_message(false, '', '')", "select pg_switch_wal()")
		}
		s.sql(one, "checkpoint")
		end := s.sql(one, "select pg_current_wal_lsn()")
		s.eventually("the standby has replayed it", func() bool { return s.sql(two, "select pg_last_wal_replay_lsn() >= '"+end+"'") == "t" })
		s.sql(two, "checkpoint")
		return s.sql(two, "select wal_status from pg_replication_slots where slot_name = 'mcctl_server1'") == "lost"
	})
	return func() { back(); s.sql(two, "select pg_drop_replication_slot('mcctl_server1')") }
}

func idleSlot(s *stage) func() {
	s.sql(one, "select pg_create_physical_replication_slot('forgotten', true)")
	for range 3 {
		s.sql(one, "select pg_logical_emit_message(false, '', '')", "select pg_switch_wal()")
	}
	return func() { s.sql(one, "select pg_drop_replication_slot('forgotten')") }
}

// backlog puts marks as PostgreSQL does, of segments behind one that cannot be
// archived: they wait for it.
func backlog(s *stage) func() {
	back := s.set(one, "archive_command = 'sleep 2; false'")
	s.sql(one, "select pg_logical_emit_message(false, '', '')", "select pg_switch_wal()")
	var marks []string
	for i := range 20 {
		mark := filepath.Join(s.lab.Data(one), "pg_wal", "archive_status", fmt.Sprintf("00000001000000FF000000%02X.ready", i))
		s.ok(os.WriteFile(mark, nil, 0o600))
		marks = append(marks, mark)
	}
	return func() {
		for _, mark := range marks {
			_ = os.Remove(mark) // the archiver drops marks of segments that are gone
		}
		back()
	}
}

func free(s *check.Scene, bytes uint64) {
	for i := range s.Here.Spaces {
		s.Here.Spaces[i].Free = bytes
	}
}

// smallTablespaceDisk: of a copy one tablespace finds no room, though the data has plenty.
func smallTablespaceDisk(s *check.Scene) {
	free(s, 1<<40)
	s.There.Postgres.DataBytes, s.There.Postgres.Outside = 20<<20, map[string]int64{"16999": 10 << 20}
	s.Here.Spaces = append(s.Here.Spaces, check.Space{Name: "tablespace 16999", Path: "/t", Device: 1 << 60, Room: disk.Room{Free: 1 << 20, Total: 1 << 30}})
}

func onFiles() []spoiled {
	return []spoiled{
		{id: "owner", on: one, conf: func(_ *stage, c *config.Config) { c.Server.HBAFile = "/etc/hosts" }},
		{id: "data-directory", on: one, conf: func(s *stage, c *config.Config) { c.Server.DataDirectory = s.TempDir() }},
		{id: "data-mode", on: one, spoil: func(s *stage) func() { return s.chmod(s.lab.Data(one), 0o755) }},
		{id: "tablespace-mode", on: one, spoil: func(s *stage) func() {
			link, dir := filepath.Join(s.lab.Data(one), "pg_tblspc", "16999"), s.TempDir()
			s.chmod(dir, 0o770)
			s.ok(os.Symlink(dir, link))
			return func() { s.ok(os.Remove(link)) }
		}},
		{id: "places-apart", on: one, spoil: spaceInside},
		{id: "mounts-inside", on: one, bend: func(s *check.Scene) { s.Here.Mounted = "/d/pg_wal is a mount point inside /d" }},
		{id: "configuration-readable", on: one, spoil: func(s *stage) func() {
			remove := s.beside(s.conf[one].Server.ConfigFile, "more.conf", 0)
			back := s.edit(s.conf[one].Server.ConfigFile, func(old string) string { return old + "include_if_exists = 'more.conf'\n" })
			return func() { back(); remove() }
		}},
		{id: "configuration-writable", on: two, spoil: func(s *stage) func() { return s.chmod(s.conf[two].Server.ConfigFile, 0o400) }},
		{id: "configuration-mode", on: two, spoil: func(s *stage) func() { return s.chmod(s.conf[two].Server.IdentFile, 0o660) }},
		{id: "configuration-mode", on: two, spoil: func(s *stage) func() {
			remove := s.beside(s.conf[two].Server.HBAFile, "names", 0o602)
			back := s.edit(s.conf[two].Server.HBAFile, func(old string) string { return old + "local @names all reject\n" })
			return func() { back(); remove() }
		}},
		{id: "configuration-mode", on: one, spoil: func(s *stage) func() {
			dir := s.TempDir()
			s.chmod(dir, 0o770)
			return s.edit(s.conf[one].Server.ConfigFile, func(old string) string { return old + "include_dir = '" + dir + "'\n" })
		}},
		{id: "secret-mode", on: two, spoil: func(s *stage) func() { return s.chmod(s.conf[two].Server.TLS.Key, 0o640) }},
		{id: "mcdir-mode", on: one, spoil: func(s *stage) func() { return s.chmod(s.conf[one].Path("run"), 0o770) }},
		{id: "mcdir-readable", on: two, spoil: func(s *stage) func() { return s.chmod(s.lab.Mcdir(two), 0o710) }},
		{id: "authority-key", on: one, spoil: func(s *stage) func() {
			dir := s.conf[one].Path("ca")
			s.ok(wire.NewCA(dir))
			s.chmod(filepath.Join(dir, "ca.key"), 0o640)
			return func() { s.ok(os.RemoveAll(dir)) }
		}},
		{id: "etcd-secrets", on: one, conf: func(s *stage, c *config.Config) {
			c.Pair.Arbiter.Kind, c.Pair.Arbiter.Etcd.PasswordFile = config.Etcd, filepath.Join(s.TempDir(), "password")
			s.ok(os.WriteFile(c.Pair.Arbiter.Etcd.PasswordFile, nil, 0o640))
		}},
	}
}

// beyondFiles spoils programs, units, disks, certificates, and what both servers share.
func beyondFiles() []spoiled {
	return []spoiled{
		{id: "programs-version", on: one, spoil: func(s *stage) func() {
			return s.edit(filepath.Join(s.lab.Data(one), "PG_VERSION"), func(string) string { return "12\n" })
		}},
		{id: "pg-rewind", on: one, conf: without("pg_rewind")},
		{id: "pg-basebackup", on: one, conf: without("pg_basebackup")},
		{id: "rebuild-command", on: one, conf: writableProgram},
		{id: "foreign-unit", on: one, spoil: foreignUnit},
		{id: "foreign-unit", on: two, spoil: debianCluster},
		{id: "space", on: one, bend: func(s *check.Scene) { free(s, 1<<20) }},
		{id: "space", on: one, bend: func(s *check.Scene) {
			s.Here.Config.Pair.Policy.DiskLow = config.Share{Percent: 20}
			s.Here.Spaces[0].Room = disk.Room{Free: 15 << 30, Total: 100 << 30}
		}},
		{id: "space-for-rebuild", on: one, bend: func(s *check.Scene) { free(s, 1<<20) }},
		{id: "space-for-rebuild", on: one, bend: smallTablespaceDisk},
		{id: "copy-beside", on: one, bend: func(s *check.Scene) { s.Here.NotBeside = "/d is a file system of its own" }},
		{id: "system-identifier", on: one, conf: otherCluster},
		{id: "certificate", on: one, conf: func(s *stage, c *config.Config) {
			dir := s.TempDir()
			s.ok(wire.NewCA(filepath.Join(dir, "ca")))
			s.ok(wire.NewCertificate(filepath.Join(dir, "ca"), lab.PairName, string(one), filepath.Join(dir, "tls")))
			c.Server.TLS.Certificate, c.Server.TLS.Key = filepath.Join(dir, "tls", "server1.crt"), filepath.Join(dir, "tls", "server1.key")
		}},
		{id: "certificate", on: two, bend: func(s *check.Scene) { s.Now = s.Now.AddDate(20, 0, 0) }},
		{id: "certificate-expires", on: one, bend: func(s *check.Scene) { s.Now = s.Here.Expires.AddDate(0, 0, -7) }},
		{id: "clock-skew", on: one, bend: func(s *check.Scene) { s.Skew, s.SkewError = -3*time.Second, 10*time.Millisecond }},
		{id: "pair-toml", on: one, conf: func(_ *stage, c *config.Config) { c.Pair.Policy.Failover = false }},
		{id: "mcctl-version", on: one, bend: func(s *check.Scene) { s.There.Mcctl = "v0" }},
		{id: "postgres-version", on: one, bend: func(s *check.Scene) { s.There.Postgres.Version = "15.0" }},
		{id: "no-arbiter", on: one, conf: func(_ *stage, c *config.Config) { c.Pair.Arbiter.Kind = config.None }},
		{id: "no-rewind", on: one, conf: func(_ *stage, c *config.Config) { c.Pair.Policy.Rejoin = []config.Rejoin{config.Rebuild} }},
		{id: "no-rebuild", on: one, conf: func(_ *stage, c *config.Config) { c.Pair.Policy.Rejoin = []config.Rejoin{config.Rewind} }},
	}
}

func spaceInside(s *stage) func() {
	link, dir := filepath.Join(s.lab.Data(one), "pg_tblspc", "16998"), filepath.Join(s.lab.Data(one), "space")
	s.ok(errors.Join(os.Mkdir(dir, 0o700), os.Symlink(dir, link)))
	return func() { s.ok(errors.Join(os.Remove(link), os.Remove(dir))) }
}

// without is a directory with all of the real programs but one.
func without(name string) func(*stage, *config.Config) {
	return func(s *stage, c *config.Config) {
		dir := s.TempDir()
		for _, program := range []string{"postgres", "pg_ctl", "pg_rewind", "pg_basebackup"} {
			if program != name {
				s.ok(os.Symlink(filepath.Join(s.lab.BinDir(), program), filepath.Join(dir, program)))
			}
		}
		c.Server.BinDirectory = dir
	}
}

func writableProgram(s *stage, c *config.Config) {
	program := filepath.Join(s.TempDir(), "restore")
	s.ok(os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700))
	s.chmod(program, 0o720)
	c.Pair.Policy.RebuildCommand = []string{program}
}

func (s *stage) plant(on pair.Server, path, text string) {
	path = filepath.Join(s.conf[on].Path("root"), path)
	s.ok(os.MkdirAll(filepath.Dir(path), 0o755))
	s.ok(os.WriteFile(path, []byte(text), 0o644))
}

// foreignUnit is what a package for Red Hat installs, enabled; one of another
// directory beside it is nobody's business.
func foreignUnit(s *stage) func() {
	root := s.conf[one].Path("root")
	s.plant(one, "usr/lib/systemd/system/postgresql-15.service", "[Service]\nEnvironment=PGDATA="+s.lab.Data(one)+"/\n")
	s.plant(one, "usr/lib/systemd/system/postgresql-14.service", "[Service]\n#Environment=PGDATA="+s.lab.Data(one)+"\nEnvironment=PGDATA="+s.lab.Data(one)+"14\n")
	wants := filepath.Join(root, "etc/systemd/system/multi-user.target.wants")
	s.ok(os.MkdirAll(wants, 0o755))
	s.ok(os.Symlink("../../../../usr/lib/systemd/system/postgresql-14.service", filepath.Join(wants, "postgresql-14.service")))
	if units := s.look(s.conf[one]).Units; len(units) != 0 {
		s.Errorf("found before anything was enabled: %+v", units)
	}
	s.ok(os.Symlink("../../../../usr/lib/systemd/system/postgresql-15.service", filepath.Join(wants, "postgresql-15.service")))
	return func() { s.ok(os.RemoveAll(root)) }
}

func debianCluster(s *stage) func() {
	s.plant(two, "etc/postgresql/15/main/postgresql.conf", "data_directory = '"+s.lab.Data(two)+"'\n")
	s.plant(two, "etc/postgresql/15/main/start.conf", "# comment\nauto\n")
	s.plant(two, "etc/postgresql/15/other/postgresql.conf", "data_directory = '"+s.lab.Data(two)+"'\n")
	s.plant(two, "etc/postgresql/15/other/start.conf", "manual\n")
	return func() { s.ok(os.RemoveAll(s.conf[two].Path("root"))) }
}

func otherCluster(s *stage, c *config.Config) {
	c.Server.DataDirectory = filepath.Join(s.TempDir(), "other")
	s.program("initdb", "--no-sync", "-A", "trust", "-D", c.Server.DataDirectory)
}

// TestChecks makes each check fail on a real pair that was clean, and mends it again:
// in the end all are clean. After those that need no restart come the others, which
// the pair does not survive.
func TestChecks(t *testing.T) {
	s := newStage(t) // one lab after the other, then all tests at once: they mostly wait
	t.Parallel()
	cases := slices.Concat(online(), onFiles(), beyondFiles())
	s.clean(cases...)
	calm := s.looks()
	for i, c := range cases {
		t.Run(c.id, func(t *testing.T) {
			s := &stage{T: t, lab: s.lab, conf: s.conf}
			if c.spoil == nil { // the servers are as they were
				s.bent(calm, c)
				return
			}
			mend := s.spoil(c)
			mend()
			if i+1 < len(cases) && cases[i+1].id == c.id {
				s.clean(c)
			}
		})
	}
	s.clean(cases...)
	s.withRestarts()
}

// bent tries a check on what was seen of a pair in order, changed as the case says.
func (s *stage) bent(calm check.Scene, c spoiled) {
	s.Helper()
	scene := calm
	scene.Here, scene.There = &check.Side{}, &check.Side{}
	s.ok(json.Unmarshal(s.json(calm.Here), scene.Here))
	s.ok(json.Unmarshal(s.json(calm.There), scene.There))
	if c.conf != nil {
		conf := *s.conf[one]
		c.conf(s, &conf)
		scene.Here = s.look(&conf)
	}
	if c.bend != nil {
		c.bend(&scene)
	}
	if !s.found(check.Judge(scene, check.Table()), c.id, c.on) {
		s.Errorf("%s is not found", c.id)
	}
}

func (s *stage) json(v any) []byte {
	s.Helper()
	b, err := json.Marshal(v)
	s.ok(err)
	return b
}

// clean waits until none of the checks finds anything, and all could be judged.
func (s *stage) clean(cases ...spoiled) {
	s.Helper()
	last := ""
	defer func() {
		if s.Failed() {
			s.Logf("last found: %s", last)
		}
	}()
	s.eventually("all of it is clean", func() bool {
		r := check.Judge(s.looks(), check.Table())
		for _, c := range cases {
			s.judged(r, c.id, c.on)
			if s.found(r, c.id, c.on) {
				last = c.id
				return false
			}
		}
		return true
	})
}

// spoil makes one check fail, and sees that it does.
func (s *stage) spoil(c spoiled) (mend func()) {
	s.Helper()
	mend = c.spoil(s)
	s.eventually(c.id+" is found", func() bool {
		scene := s.looks()
		if c.bend != nil {
			c.bend(&scene)
		}
		return s.found(check.Judge(scene, check.Table()), c.id, c.on)
	})
	return mend
}

// TestEveryCheckIsTried: a row without a way to make it fail proves nothing.
func TestEveryCheckIsTried(t *testing.T) {
	tried := []string{"configuration"} // cli, which loads it
	for _, c := range slices.Concat(online(), onFiles(), beyondFiles(), supervised(), restarted()) {
		tried = append(tried, c.id)
	}
	seen := map[string]bool{}
	for _, c := range check.Table() {
		if !slices.Contains(tried, c.ID) {
			t.Errorf("no test makes %s fail", c.ID)
		}
		if seen[c.ID] || c.What == "" || c.Why == "" || c.Mend == "" || c.Severity == "" || c.Judge == nil {
			t.Errorf("row %s is not complete, or stands twice", c.ID)
		}
		seen[c.ID] = true
	}
	for _, id := range tried {
		if !seen[id] {
			t.Errorf("%s is tried, but is no check", id)
		}
	}
}
