package pair

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// sql runs statements on a server as its superuser.
func (s *stage) sql(of pair.Server, statements ...string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := s.connect(ctx, of)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	for _, statement := range statements {
		if _, err := c.Exec(ctx, statement); err != nil {
			s.Fatalf("%s: %v", statement, err)
		}
	}
}

func (s *stage) connect(ctx context.Context, of pair.Server) (*pgx.Conn, error) {
	run := filepath.Join(filepath.Dir(s.lab.Data(of)), "run")
	return pgx.Connect(ctx, fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", run, s.lab.ClientPort(of)))
}

// query asks a server for one text.
func (s *stage) query(of pair.Server, question string) (answer string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := s.connect(ctx, of)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close(ctx) }()
	err = c.QueryRow(ctx, question).Scan(&answer)
	return answer, err
}

// ask is query where no answer ends the test.
func (s *stage) ask(of pair.Server, question string) string {
	s.Helper()
	answer, err := s.query(of, question)
	if err != nil {
		s.Fatalf("%s: %v", question, err)
	}
	return answer
}

// A standby that cannot stream for a while is not taken for diverged, least of all
// soon after a switch, when its control file still shows the old timeline.
func TestStandbyThatCannotStreamAfterASwitchIsLeftAlone(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.paired(two)
	before := s.lab.Pids().Servers[one].Postmaster
	// Login by a role's attribute, so that only replication is cut. The primary writes
	// this alone: it would wait for the standby that it cuts off.
	s.sql(two, "set synchronous_commit = local", "alter role mcctl_replication nologin", "select pg_terminate_backend(pid) from pg_stat_replication")
	s.until("the primary went alone", two, func(st wire.Status) bool { return st.Record.Mode == pair.Alone })
	time.Sleep(3 * time.Second) // several times what the comparison of histories waits
	s.flowing()
	s.sql(two, "alter role mcctl_replication login")
	s.paired(two)
	if after := s.lab.Pids().Servers[one].Postmaster; after != before {
		t.Errorf("the standby's PostgreSQL was stopped: pid %d, was %d", after, before)
	}
}

// A server whose PostgreSQL will not start is replaced, also when it had been shut
// down in good order.
func TestPrimaryThatWillNotStartAgainIsReplaced(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.breakConf(one)
	s.stopBehindOurBack(one)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	s.mendConf(one)
	s.paired(two)
}

// The supervisor is killed after it has pledged to be paired and before the keeper
// knows: the attach is finished, not forgotten.
func TestAPledgeIsKept(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("detach", "-M", s.lab.Mcdir(one))
	st, err := s.status(one)
	if err != nil {
		t.Fatal(err)
	}
	p := s.lab.Pids().Servers[one]
	s.kill(p.Watch, p.Supervisor)
	pledge := st.Record
	pledge.Mode = pair.Paired
	s.writeCopy(one, pledge)
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	if st, err := s.status(one); err != nil || st.Healthy {
		t.Errorf("the keeper still says alone, yet: %+v, %v", st, err)
	}
	s.mcctl("attach", "-M", s.lab.Mcdir(one))
	if st := s.paired(one); st.Record.Revision <= pledge.Revision {
		t.Errorf("the keeper was not told: %s", st.Record)
	}
}

// Nobody writes, and the last segment of the log has just ended: where the next record
// would begin is a position that no standby flushes.
func TestAttachWhileNothingIsWritten(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("detach", "-M", s.lab.Mcdir(one))
	if _, err := s.probe.Stop(); err != nil {
		t.Fatal(err)
	}
	s.sql(one, "select pg_switch_wal()")
	s.mcctl("attach", "-M", s.lab.Mcdir(one))
	s.paired(one)
	if events := s.mcctl("events", "-M", s.lab.Mcdir(one)); strings.Contains(events, "attach failed") {
		t.Errorf("the attach waited for what never comes:\n%s", events)
	}
}
