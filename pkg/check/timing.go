package check

import (
	"fmt"
	"time"
)

const (
	// retryMax bounds wal_retrieve_retry_interval: a promotion may be slept over for so long.
	retryMax = time.Second
	// skewMax bounds the difference of the two wall clocks.
	skewMax = 2 * time.Second
)

// timingChecks look at intervals and clocks.
func timingChecks() []Check {
	return []Check{
		{
			ID: "retry-interval", What: "wal_retrieve_retry_interval is at most 1 s", Severity: Warning,
			Why:   "a standby that lost its primary sleeps so long before it looks again: it streams later, and a promotion may wait for it",
			Mend:  "set wal_retrieve_retry_interval = 100ms in {conf}; then: {psql} -c 'select pg_reload_conf()'",
			Needs: needs(PostgreSQL), Judge: retryInterval,
		},
		{
			ID: "wal-timeouts", What: "wal_sender_timeout and wal_receiver_timeout are set and above heartbeat_timeout", Severity: Warning,
			Why:   "with 0 a dead connection holds its slot and walsender for ever; below heartbeat_timeout PostgreSQL cuts a stream that mcctl still counts as alive",
			Mend:  "set {name} = 10s in {conf}; then: {psql} -c 'select pg_reload_conf()'",
			Needs: needs(PostgreSQL), Judge: walTimeouts,
		},
		{
			ID: "clock-skew", What: "the clocks of the servers differ by less than 2 s", Severity: Warning,
			Why:  "no decision depends on it, but logs cannot be compared, certificates may seem to have expired, and recovery to a time means another time",
			Mend: "timedatectl set-ntp true; timedatectl timesync-status",
			Both: true, Once: true, Judge: clockSkew,
		},
	}
}

func retryInterval(v View) []Trouble {
	ms, ok := number(v.Me, "wal_retrieve_retry_interval")
	if !ok || time.Duration(ms)*time.Millisecond <= retryMax {
		return nil
	}
	return one(fmt.Sprintf("wal_retrieve_retry_interval is %s, more than %s", v.Me.Postgres.Settings["wal_retrieve_retry_interval"].Shown, retryMax))
}

func walTimeouts(v View) (found []Trouble) {
	least := v.Me.Config.Pair.Timings.HeartbeatTimeout.Duration
	for _, name := range []string{"wal_sender_timeout", "wal_receiver_timeout"} {
		ms, ok := number(v.Me, name)
		d := time.Duration(ms) * time.Millisecond
		switch {
		case ok && d == 0:
			found = append(found, Trouble{name + " is 0: a dead connection is never noticed", fill("name", name)})
		case ok && d < least:
			found = append(found, Trouble{fmt.Sprintf("%s is %s, less than heartbeat_timeout (%s)", name, d, least), fill("name", name)})
		}
	}
	return found
}

func clockSkew(v View) []Trouble {
	skew := v.Scene.Skew.Abs() - v.Scene.SkewError
	if skew < skewMax {
		return nil
	}
	return one(fmt.Sprintf("the clock of %s is %s ahead (give or take %s), more than %s", v.Other.Server, v.Scene.Skew.Round(time.Millisecond), v.Scene.SkewError.Round(time.Millisecond), skewMax))
}
