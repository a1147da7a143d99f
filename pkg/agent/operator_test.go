package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

var operator = wire.Identity{Name: wire.LocalName}

// pairedPrimary sees nothing that would be in the way of a switch.
func pairedPrimary(t *testing.T) *Agent {
	t.Helper()
	a := someAgent(t)
	r := rec(3, 8, "server1", pair.Paired)
	a.keeper = hearingKeeper{a.keeper, r, true}
	a.board.Set(func(s *board.Sight) {
		now := wire.Now()
		*s = board.Sight{Known: true, PID: 7, LookAt: now, Started: now, Record: r, Copy: r, Confirmed: true, KeeperReached: true, Heard: now, ReportAt: now}
		s.Link.Connected = true
		s.Report = wire.Report{Server: "server2", Record: r, Postgres: wire.ReportStandby, Failover: true}
		s.Look.Peer = &postgres.Sender{State: "streaming"}
	})
	return a
}

// Whoever asked has been told that the switch did not take place, or has gone: it must not
// begin when the disk answers at last. One that the other server passed on is not cancelled.
func TestASwitchDoesNotBeginAfterItsDiskHung(t *testing.T) {
	for name, c := range map[string]struct {
		from   wire.Identity
		leaves time.Duration
	}{"the operator leaves": {operator, 50 * time.Millisecond}, "passed on": {otherServer, limit}} {
		t.Run(name, func(t *testing.T) {
			a := pairedPrimary(t)
			a.config.Pair.Timings.HeartbeatTimeout.Duration = time.Second
			disk := fault.Hang(t)
			a.store.Disk = disk
			ctx, cancel := context.WithTimeout(t.Context(), c.leaves)
			defer cancel()
			disk.Free(t, "the request", func() {
				if _, err := a.Handle(ctx, c.from, wire.KindSwitch, body(wire.SwitchRequest{})); err == nil || ctx.Err() == nil && !strings.Contains(err.Error(), "does not answer") {
					t.Errorf("the answer is %v", err)
				}
			})
			disk.LetGo()
			eventually(t, "the switch has failed", func() bool { job, _ := a.jobs.Get(""); return job.Final && job.Phase == "failed" })
			if task := a.board.Read().Task; task != decide.NoTask {
				t.Errorf("a %s is under way", task)
			}
		})
	}
}
