package setup

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mcctl/pkg/config"
	"mcctl/pkg/postgres"
)

// A configuration file is the data directory's where it is there under its usual name: another
// name is noted, as PostgreSQL has to be told of it, and the data directory may be a link.
func TestFilesOfTheDataDirectory(t *testing.T) {
	data, link := t.TempDir(), filepath.Join(t.TempDir(), "data")
	ok(t, os.Symlink(data, link))
	for _, c := range []struct{ name, main, hba, apartMain, apartHBA string }{
		{"usual", data + "/postgresql.conf", data + "/pg_hba.conf", "", ""},
		{"by another way", link + "/postgresql.conf", link + "/pg_hba.conf", "", ""},
		{"own names", data + "/site.conf", data + "/site_hba.conf", data + "/site.conf", data + "/site_hba.conf"},
		{"elsewhere", "/etc/site/postgresql.conf", "/etc/site/pg_hba.conf", "/etc/site/postgresql.conf", "/etc/site/pg_hba.conf"},
	} {
		p := Plan{DataDirectory: data}
		p.noteFiles(c.main, c.hba, "")
		if p.ConfigFile != c.apartMain || p.HBAFile != c.apartHBA || p.IdentFile != "" {
			t.Errorf("%s: %q and %q are apart", c.name, p.ConfigFile, p.HBAFile)
		}
		if copied := c.apartMain == ""; p.isCopied() != copied {
			t.Errorf("%s: is copied %t", c.name, !copied)
		}
	}
}

// PostgreSQL's base backup leaves links out.
func TestALinkedConfigurationIsNotCopied(t *testing.T) {
	for _, name := range []string{"postgresql.conf", "pg_hba.conf"} {
		p := Plan{DataDirectory: t.TempDir()}
		for _, each := range []string{"postgresql.conf", "pg_hba.conf"} {
			file(t, 0o600, p.DataDirectory, each)
		}
		if !p.isCopied() {
			t.Errorf("plain files")
		}
		ok(t, os.Rename(filepath.Join(p.DataDirectory, name), filepath.Join(p.DataDirectory, "..", name)))
		ok(t, os.Symlink("../"+name, filepath.Join(p.DataDirectory, name)))
		if p.isCopied() {
			t.Errorf("%s is a link", name)
		}
	}
}

// What a later call answers first is refused where the file that it goes into is made, which
// stays as it is.
func TestALateAnswerIsNotForgotten(t *testing.T) {
	const first, second, arbiter = First, Second, Arbiter
	for _, c := range []struct {
		kind, made string
		given      Plan
		late       []string
	}{
		{first, "", Plan{Profile: "tight", CA: "/ca"}, nil},
		{first, config.PairFile, Plan{Profile: "tight"}, []string{"--profile"}},
		{first, config.PairFile, Plan{Client: "127.0.0.1:9", Locale: "C.UTF-8"}, []string{"--client"}},
		{first, config.ServerFile, Plan{Fencing: "/bin/true"}, []string{"--fencing-command"}},
		{first, "ca/ca.crt", Plan{CA: "/ca", Profile: "tight"}, []string{"--ca"}},
		{second, config.PairFile, Plan{Fencing: "/bin/true"}, nil},
		{second, config.ServerFile, Plan{ConfigFile: "/etc/site/postgresql.conf", WAL: "/wal"}, []string{"--config-file"}},
		{arbiter, "", Plan{Listen: "127.0.0.1:5"}, nil},
		{arbiter, config.ArbiterFile, Plan{Listen: "127.0.0.1:5"}, []string{"--listen"}},
	} {
		s := quiet(t.TempDir())
		if c.made != "" {
			file(t, 0o600, s.Dir, c.made)
		}
		before := Plan{Pair: "p", Name: "server1", Replication: "127.0.0.1:1"}
		s.state.Plan = before
		if other := s.state.Plan.merge(c.given); len(other) > 0 {
			t.Fatalf("%+v: %v", c.given, other)
		}
		if late := s.tooLate(c.kind, before); !slices.Equal(late, c.late) {
			t.Errorf("%s, %q is made, %+v: late are %v, not %v", c.kind, c.made, c.given, late, c.late)
		}
	}
}

// The files may spell a value that waits for a restart in any way that PostgreSQL takes.
func TestChangesGoByWhatValuesMean(t *testing.T) {
	fit := map[string]string{
		"listen_addresses": "*", "wal_level": "Logical", "max_wal_senders": "40", "max_replication_slots": "4", "hot_standby": "yes",
		"wal_log_hints": "1", "data_checksums": "off", "full_page_writes": "on", "fsync": "on", "synchronous_commit": "Remote_Apply",
	}
	p := Plan{Replication: "192.0.2.1:5432"}
	for name, value := range map[string]string{
		"": "", "listen_addresses": "localhost", "wal_level": "Minimal", "max_wal_senders": "3", "max_replication_slots": "0", "hot_standby": "No",
		"wal_log_hints": "FALSE", "full_page_writes": "0", "fsync": "False", "synchronous_commit": "Local",
	} {
		have := map[string]postgres.Described{}
		for each, good := range fit {
			have[each] = postgres.Described{Value: good}
		}
		var want []string
		if name != "" {
			have[name], want = postgres.Described{Value: value}, []string{name}
		}
		var got []string
		for _, change := range p.changes(have) {
			got = append(got, change.name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s = %s: changes %v", name, value, got)
		}
	}
}
