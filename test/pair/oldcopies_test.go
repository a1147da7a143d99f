package pair

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// oldCopies puts both servers back to what they were when each was the primary: server1
// in term 1, server2 in term 2. The pair has come to term 3 meanwhile. Both are down.
func oldCopies(t *testing.T, arbiter string) *stage {
	s := newQuietStage(t, lab.Options{Arbiter: arbiter})
	for n, primary := range []pair.Server{one, two} {
		s.mcctl("stop", "-a", "-M", s.lab.Mcdir(one))
		s.run("cp", "-a", s.lab.Dir+"/"+string(primary), s.lab.Dir+"/old"+string(primary))
		s.startBoth()
		s.paired(primary)
		s.mcctl("switch", "-M", s.lab.Mcdir(one))
		s.paired([]pair.Server{two, one}[n])
	}
	s.sql(one, "create table later as select 1 as a")
	s.mcctl("stop", "-a", "-M", s.lab.Mcdir(one))
	for _, server := range []pair.Server{one, two} {
		old := s.lab.Dir + "/old" + string(server)
		s.run("rm", "-rf", s.lab.Data(server), s.lab.Mcdir(server)+"/record.json")
		s.run("cp", "-a", old+"/data", s.lab.Data(server))
		s.run("cp", "-a", old+"/mcdir/record.json", s.lab.Mcdir(server))
	}
	return s
}

func (s *stage) run(program string, args ...string) {
	s.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		s.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
}

func (s *stage) startBoth() {
	s.Helper()
	var wg sync.WaitGroup
	for _, server := range []pair.Server{one, two} {
		wg.Go(func() { s.mcctl("start", "-W", "--async-connect-arbiter", "-M", s.lab.Mcdir(server)) })
	}
	wg.Wait()
}

// acknowledging tries to write on both servers all the time, until stop tells where it
// was acknowledged.
func (s *stage) acknowledging() (seen func(pair.Server) int, stop func() map[pair.Server]int) {
	ctx, cancel := context.WithCancel(context.Background())
	counts, mu, wg := map[pair.Server]int{}, sync.Mutex{}, sync.WaitGroup{}
	for _, server := range []pair.Server{one, two} {
		wg.Go(func() {
			for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
				if s.writes(ctx, server) {
					mu.Lock()
					counts[server]++
					mu.Unlock()
				}
			}
		})
	}
	seen = func(server pair.Server) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[server]
	}
	return seen, func() map[pair.Server]int { cancel(); wg.Wait(); return counts }
}

// writes tells whether a server acknowledges a row to a client.
func (s *stage) writes(ctx context.Context, server pair.Server) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, rest, _ := strings.Cut(s.lab.Env()["PGURI"], "/app?")
	c, err := pgx.Connect(ctx, fmt.Sprintf("postgresql://app@127.0.0.1:%d/app?%s", s.lab.ClientPort(server), rest))
	if err != nil {
		return false
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	if _, err = c.Exec(ctx, "create table if not exists acked (a int)"); err == nil {
		_, err = c.Exec(ctx, "insert into acked values (1)")
	}
	return err == nil
}

// The witness knows of term 3, whose primary is server1: it opens, with the data that it
// has, and server2 waits for an operator, since its data is of a history of its own.
func TestBothStartedFromOldCopiesWithAWitness(t *testing.T) {
	s := oldCopies(t, "witness")
	seen, stop := s.acknowledging()
	s.startBoth()
	s.until("server1 is open", one, func(st wire.Status) bool {
		return st.Record.Term == 3 && st.Servers[0].Postgres == wire.ReportOpen && st.Record.Mode == pair.Alone
	})
	s.until("server2 says what an operator must do", two, func(st wire.Status) bool {
		return strings.Contains(st.NextStep, "which data is right is for an operator to say; to give up what is here: mcctl rebuild, on this server")
	})
	s.eventually("server1 acknowledges", func() bool { return seen(one) > 0 })
	s.oneHasAcknowledged(stop(), one)
	s.mcctl("rebuild", "--yes", "-M", s.lab.Mcdir(two))
	s.paired(one)
}

// Without a witness the newer of the two copies counts: server1 hears of it before it
// opens, and follows.
func TestBothStartedFromOldCopiesWithoutAWitness(t *testing.T) {
	s := oldCopies(t, "none")
	_, stop := s.acknowledging()
	s.startBoth()
	if st := s.paired(two); st.Record.Term != 2 {
		t.Errorf("the record is %s", st.Record)
	}
	s.oneHasAcknowledged(stop(), two)
}

func (s *stage) oneHasAcknowledged(counts map[pair.Server]int, which pair.Server) {
	s.Helper()
	if len(counts) != 1 || counts[which] == 0 {
		s.Errorf("acknowledged: %v, want all of it by %s", counts, which)
	}
	s.Logf("acknowledged: %v", counts)
}
