package agent

import (
	"testing"

	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
)

func TestASwitchWhoseConditionsAreGoneIsRecalled(t *testing.T) {
	serving := decide.Facts{Record: decide.RecordMine, Mode: decide.Paired, Postgres: decide.PostgresOpen, PeerPG: decide.PeerPGStandby, Stream: decide.StreamClose}
	for _, c := range []struct {
		name, says string
		change     func(*decide.Facts)
	}{
		{"nothing has changed", "", func(*decide.Facts) {}},
		{"it was begun for want of room", "", func(f *decide.Facts) { f.Disk = decide.DiskFilling }},
		{"the standby is behind for a moment", "", func(f *decide.Facts) { f.Stream = decide.StreamBehind }},
		{"nobody would act by himself", "", func(f *decide.Facts) { f.Failover = decide.FailoverOff }},
		{"PostgreSQL freezes", "postgres is hung, not open", func(f *decide.Facts) { f.Postgres = decide.PostgresHung }},
		{"PostgreSQL dies", "postgres is down, not open", func(f *decide.Facts) { f.Postgres = decide.PostgresDown }},
		{"a disk fails", "disk is failed, not fine or filling", func(f *decide.Facts) { f.Disk = decide.DiskFailed }},
		{"the standby's server is silent", "peer is lost, not here", func(f *decide.Facts) { f.Peer = decide.PeerLost }},
		{"the standby's PostgreSQL is down", "peer-postgres is down, not standby", func(f *decide.Facts) { f.PeerPG = decide.PeerPGDown }},
		{"the standby says goodbye", "peer-postgres is leaving, not standby", func(f *decide.Facts) { f.PeerPG = decide.PeerPGLeaving }},
		{"nothing streams", "stream is none, not behind or close", func(f *decide.Facts) { f.Stream = decide.StreamNone }},
		{"commits wait", "stall is yes, not no", func(f *decide.Facts) { f.Stall = decide.Stalled }},
		{"the arbiter is away", "keeper is unreached, not reached", func(f *decide.Facts) { f.Keeper = decide.KeeperUnreached }},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := someAgent(t)
			facts := serving
			c.change(&facts)
			_, err := a.jobs.Begin("switch", "server1", "server2", rec(1, 2, "server1", pair.Paired))
			ok(t, err)
			a.recallVainSwitch(facts) // nobody has begun it: see dropVainSwitch
			ok(t, a.jobs.Enter("checkpoint"))
			a.runner.action = decide.Switch
			a.recallVainSwitch(facts)
			a.runner.action = ""
			err = a.jobs.Enter("closing")
			if says := "its conditions are gone: " + c.says; c.says == "" && err != nil || c.says != "" && (err == nil || err.Error() != says) {
				t.Errorf("it goes on to close with %v, want %q", err, c.says)
			}
		})
	}
}
