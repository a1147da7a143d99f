package pair

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// slowPrograms are PostgreSQL's, but for postgres: that takes so many seconds, as the file
// of the returned name says, before it starts a server.
func slowPrograms(t *testing.T) (bin, seconds string) {
	t.Helper()
	bin, real := t.TempDir(), os.Getenv("PG_BIN")
	programs, err := os.ReadDir(real)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if p.Name() == "postgres" {
			continue
		}
		if err := os.Symlink(filepath.Join(real, p.Name()), filepath.Join(bin, p.Name())); err != nil {
			t.Fatal(err)
		}
	}
	seconds = filepath.Join(bin, "seconds")
	script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" != -D ] || sleep \"$(cat %s)\"\nexec %s/postgres \"$@\"\n", seconds, real)
	if err := os.WriteFile(filepath.Join(bin, "postgres"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return bin, seconds
}

// A stop comes when PostgreSQL was launched and has not written postmaster.pid yet, be it
// in a moment or not for long. It is ended too, and nobody takes over for the primary.
func TestAStopDuringAStartLeavesNoPostgreSQL(t *testing.T) {
	beside(t)
	bin, seconds := slowPrograms(t)
	takes := func(s string) {
		if err := os.WriteFile(seconds, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	takes("0")
	s := newStage(t, lab.Options{BinDir: bin})
	for _, slow := range []string{"0.6", "3"} {
		s.mcctl("stop", "-M", s.lab.Mcdir(one))
		takes(slow)
		s.mcctl("start", "-W", "-M", s.lab.Mcdir(one))
		s.until("PostgreSQL is launched", one, func(st wire.Status) bool { return strings.HasPrefix(st.Servers[0].Doing, "start-") })
		s.mcctl("stop", "-M", s.lab.Mcdir(one))
		time.Sleep(5 * time.Second) // it would have come up
		if p := s.lab.Pids().Servers[one]; p != (lab.ServerPids{}) {
			t.Errorf("a start of %s s that was stopped leaves %+v", slow, p)
		}
		if st, err := s.status(two); err != nil || st.Record.Primary != one || st.Record.Mode != pair.Paired {
			t.Errorf("the standby took over: %s, %v", st.Record, err)
		}
		takes("0")
		s.mcctl("start", "-M", s.lab.Mcdir(one))
		s.paired(one)
		s.flowing()
	}
}
