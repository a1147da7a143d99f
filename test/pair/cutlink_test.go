package pair

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// cable is a way between the two servers that can be cut: then nothing passes any
// more, and nobody is told.
type cable struct {
	cut atomic.Bool
	mu  sync.Mutex
	// ends are closed when the pair is down: while it lives, it would take that for
	// the end of both servers, and each would fence the other.
	ends []io.Closer
}

func (c *cable) add(end io.Closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends = append(c.ends, end)
}

func (c *cable) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range c.ends {
		_ = end.Close()
	}
}

// through is an address that leads to another one as long as the cable is whole.
func (c *cable) through(t *testing.T, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.add(l)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			c.add(in)
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go c.carry(in, out)
			go c.carry(out, in)
		}
	}()
	return l.Addr().String()
}

func (c *cable) carry(from, to net.Conn) {
	defer func() { _ = to.Close() }()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if c.cut.Load() {
			select {} // the end of a connection does not pass either
		}
		if err != nil {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// reroute leads an address in the text of pair.toml through the cable.
func (c *cable) reroute(t *testing.T, text, table, key string) string {
	t.Helper()
	head, tail, _ := strings.Cut(text, "["+table+"]\n")
	section, rest, _ := strings.Cut(tail, "\n\n")
	_, value, _ := strings.Cut(section, key+" = \"")
	address, _, _ := strings.Cut(value, "\"")
	section = strings.Replace(section, fmt.Sprintf("%s = %q", key, address), fmt.Sprintf("%s = %q", key, c.through(t, address)), 1)
	return fmt.Sprintf("%s[%s]\n%s\n\n%s", head, table, section, rest)
}

// reconfigured stops both servers, edits their files and starts them.
func (s *stage) reconfigured(file string, edit func(of pair.Server, text string) string) {
	s.Helper()
	s.mcctl("stop", "-a", "-M", s.lab.Mcdir(one))
	for _, of := range []pair.Server{one, two} {
		path := filepath.Join(s.lab.Mcdir(of), file)
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte(edit(of, string(b))), 0o600)
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	s.startAlone(one)
	s.startAlone(two)
	s.paired(one)
}

// newCable is a stage whose servers reach each other over a cable, and whose
// arbitration command always says that the other server is dead.
func newCable(t *testing.T) (*stage, *cable) {
	c := &cable{}
	t.Cleanup(c.close)
	s := newFencing(t)
	for _, of := range []pair.Server{one, two} { // the way's addresses are not those of the passfiles
		path := filepath.Join(s.lab.Mcdir(of), "pgpass")
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, regexp.MustCompile(`(?m)^[^:\n]*:[^:\n]*:`).ReplaceAll(b, []byte("*:*:")), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.reconfigured("pair.toml", func(of pair.Server, text string) string {
		for _, key := range []string{"admin", "replication"} {
			text = c.reroute(t, text, "servers."+string(otherOf(of)), key)
		}
		return text
	})
	s.order(two, "arbitration", "exit 0")
	return s, c
}

func otherOf(s pair.Server) pair.Server {
	if s == one {
		return two
	}
	return one
}

// down: of a server that was fenced nothing is left.
func (s *stage) down(of pair.Server) {
	s.Helper()
	if p := s.lab.Pids().Servers[of]; p.Watch != 0 || p.Supervisor != 0 || p.Postmaster != 0 {
		s.Errorf("something of %s is left: %+v", of, p)
	}
}

// The link is cut and both servers live: the primary fences first.
func TestThePrimaryFencesFirstWhenTheLinkIsCut(t *testing.T) {
	s, c := newCable(t)
	c.cut.Store(true)
	s.until("server1 went alone", one, alone(one))
	s.flowing()
	s.down(two)
	c.cut.Store(false)
	s.startAlone(two)
	s.paired(one)
}

// The same when the primary's fencing hangs: the standby fences it, and reigns.
func TestTheStandbyFencesAPrimaryThatCannotFence(t *testing.T) {
	s, c := newCable(t)
	s.order(one, "fencing", "sleep 600")
	c.cut.Store(true)
	s.until("server2 took over", two, alone(two))
	s.flowing()
	s.down(one)
	c.cut.Store(false)
	s.startAlone(one)
	s.paired(two)
}

// A fencing command that hangs is ended, told of and called again.
func TestAFencingThatHangsIsCalledAgain(t *testing.T) {
	s := newStage(t, lab.Options{Arbiter: "command", Profile: "tight"})
	s.reconfigured("server.toml", func(_ pair.Server, text string) string { return text + "fencing_timeout = \"10s\"\n" })
	s.order(two, "fencing", "sleep 600")
	s.killServer(one)
	st := s.until("the timeout is told", two, func(st wire.Status) bool { return strings.Contains(st.NextStep, "fencing server1 failed: timed out") })
	if st.Record.Primary != one {
		t.Errorf("server2 took over without fencing: %s", st.Record)
	}
	if err := os.Remove(s.lab.Order(two, "fencing")); err != nil {
		t.Fatal(err)
	}
	s.until("it is called again and server2 takes over", two, alone(two))
	s.flowing()
	s.startAlone(one)
	s.paired(two)
}

// The pair is not well while nobody could take over: the primary tells that its standby
// does not reach the arbiter.
func TestAStandbyWithoutTheArbiterIsToldByThePrimary(t *testing.T) {
	s := newStage(t, lab.Options{})
	c := &cable{}
	t.Cleanup(c.close)
	s.reconfigured("pair.toml", func(of pair.Server, text string) string {
		if of == one {
			return text
		}
		return c.reroute(t, text, "arbiter", "address")
	})
	c.cut.Store(true)
	s.until("the primary tells", one, func(st wire.Status) bool {
		return !st.Healthy && st.Arbiter.Reached && strings.Contains(st.NextStep, "it does not hear server2")
	})
	c.cut.Store(false)
	s.paired(one)
}
