package pair

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

const nonsense = "\nno_such_setting_at_all = 'x'\n"

// breakConf makes postgresql.conf one that no start accepts.
func (s *stage) breakConf(of pair.Server) {
	s.Helper()
	s.rewrite(of, func(conf string) string { return conf + nonsense })
}

func (s *stage) mendConf(of pair.Server) {
	s.Helper()
	s.rewrite(of, func(conf string) string { return strings.Replace(conf, nonsense, "", 1) })
}

func (s *stage) rewrite(of pair.Server, change func(string) string) {
	s.Helper()
	if err := durable.WriteFile(filepath.Join(s.lab.Data(of), "postgresql.conf"), []byte(change(s.conf(of))), 0o600); err != nil {
		s.Fatal(err)
	}
}

// stopBehindOurBack is what an operator should not do.
func (s *stage) stopBehindOurBack(of pair.Server) {
	s.Helper()
	out, err := exec.Command(filepath.Join(s.lab.BinDir(), "pg_ctl"), "stop", "-D", s.lab.Data(of), "-m", "fast").CombinedOutput()
	if err != nil {
		s.Fatalf("pg_ctl stop: %v\n%s", err, out)
	}
}

func (s *stage) writeCopy(of pair.Server, r record.Record) {
	s.Helper()
	path := filepath.Join(s.lab.Mcdir(of), "record.json")
	if err := durable.WriteJSON(path, r, 0o600); err != nil {
		s.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		s.Fatal(err)
	}
}

// switchesAtLast repeats a switch that is recalled before anything was closed: what is
// half saved may cost the standby its stream for a moment.
func (s *stage) switchesAtLast() {
	s.Helper()
	for began := time.Now(); ; {
		out, err := s.try("switch", "-M", s.lab.Mcdir(one))
		if err == nil {
			return
		}
		if time.Since(began) > patience || !strings.Contains(out, "its conditions are gone") && exitStatus(err) != 4 {
			s.Fatalf("switch: %v\n%s", err, out)
		}
		s.Log(out)
		time.Sleep(100 * time.Millisecond)
	}
}

// Somebody saves postgresql.conf in place on both servers, again and again, while the
// pair switches, detaches and attaches: what was saved is there until the next save.
func TestFilesThatAreSavedInPlaceMeanwhile(t *testing.T) {
	s := newStage(t, lab.Options{})
	over := make(chan struct{})
	saved := make(chan string, 2)
	for _, server := range []pair.Server{one, two} {
		go func() { saved <- s.saveAgainAndAgain(server, over) }()
	}
	for _, primary := range []pair.Server{two, one} {
		s.switchesAtLast()
		s.paired(primary)
		s.mcctl("detach", "-M", s.lab.Mcdir(one))
		s.mcctl("attach", "-M", s.lab.Mcdir(one))
		s.paired(primary)
	}
	close(over)
	for range 2 {
		t.Log(<-saved)
	}
	s.paired(one)
	s.hasLine(one, "synchronous_standby_names = 'server2'")
	s.flowing()
}

// saveAgainAndAgain adds a line to what stands in the file, as an editor does that keeps
// the file, and looks a moment later. The managed lines may be others by then.
func (s *stage) saveAgainAndAgain(of pair.Server, over chan struct{}) string {
	path := s.lab.Data(of) + "/postgresql.conf"
	for n := 0; ; n++ {
		select {
		case <-over:
			return fmt.Sprintf("%s: saved %d times", of, n)
		case <-time.After(time.Duration(n%20) * 5 * time.Millisecond):
		}
		was, err := os.ReadFile(path)
		if err != nil {
			s.Error(err)
		}
		text := fmt.Sprintf("%s# saved %d\n", was, n)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			s.Error(err)
		}
		_, _ = f.WriteString(text[:len(text)/2])
		time.Sleep(time.Millisecond)
		_, _ = f.WriteString(text[len(text)/2:])
		_ = f.Close()
		now, err := os.ReadFile(path)
		if err != nil || unmanaged(string(now)) != unmanaged(text) {
			s.Errorf("%s: save %d is lost, %v:\n%s\nwas\n%s", of, n, err, now, text)
			return "lost"
		}
	}
}
