package config

import (
	"reflect"
	"slices"
)

// Timings are the pair's timings as they are in force now.
func (c *Config) Timings() Timings { return c.inForce().Timings }

// Policy is the pair's policy as it is in force now.
func (c *Config) Policy() Policy { return c.inForce().Policy }

func (c *Config) inForce() *Pair {
	if c.adopted != nil { // a configuration that came over the wire never changes
		if p := c.adopted.Load(); p != nil {
			return p
		}
	}
	return &c.Pair
}

// Change is a key whose value is another one after a reload, in the form of the files.
type Change struct {
	File, Key, Old, New string
	// Restart: it comes into force when the supervisor starts next.
	Restart bool
}

// Live tells whether a key comes into force while the supervisor runs. All others are
// built into its connections and watchers: addresses, names, paths, and the pace.
func Live(key string) bool {
	live := []string{
		"timings.commit_stall_max", "timings.isolation_timeout", "timings.shutdown_timeout", "timings.promote_timeout", "timings.attach_settle_max",
		"policy.failover", "policy.rejoin", "policy.rebuild_command", "policy.attach_max_lag", "policy.disk_low", "policy.disk_critical", "policy.manage_synchronized_standby_slots",
		"policy.lost_wal", "policy.lost_wal_max", "policy.lost_reports",
	}
	return slices.Contains(live, key)
}

// Adopt brings into force what it may of another reading of the same directory, and
// lists all that differs from what is in force. Timings that would contradict those
// which have to wait for a restart wait with them.
func (c *Config) Adopt(next *Config) (changes []Change) {
	mixed := c.Pair
	mixed.Timings, mixed.Policy = c.inForce().Timings, next.Policy()
	old := mixed.Timings
	t := next.Timings()
	mixed.Timings.CommitStallMax, mixed.Timings.IsolationTimeout = t.CommitStallMax, t.IsolationTimeout
	mixed.Timings.ShutdownTimeout, mixed.Timings.PromoteTimeout = t.ShutdownTimeout, t.PromoteTimeout
	mixed.Timings.AttachSettleMax = t.AttachSettleMax
	at := parse(PairFile, "")
	mixed.Timings.check(at)
	contradict := at.err() != nil
	if contradict {
		mixed.Timings = old
	}
	now := *c.inForce()
	c.adopted.Store(&mixed)
	changes = append(changes, differences(PairFile, now, next.Pair)...)
	changes = append(changes, differences(ServerFile, c.Server, next.Server)...)
	for i, d := range changes {
		isTiming := d.Key != "" && parent(d.Key) == "timings"
		changes[i].Restart = d.File != PairFile || !Live(d.Key) || isTiming && contradict
	}
	return changes
}

// differences lists the keys by which two structs of a file differ.
func differences(file string, a, b any) (changes []Change) {
	was, is := leaves("", reflect.ValueOf(a)), leaves("", reflect.ValueOf(b))
	for _, l := range is {
		i := slices.IndexFunc(was, func(w leaf) bool { return w.key == l.key })
		if i < 0 {
			changes = append(changes, Change{File: file, Key: l.key, New: l.text})
		} else if was[i].text != l.text {
			changes = append(changes, Change{File: file, Key: l.key, Old: was[i].text, New: l.text})
		}
	}
	for _, w := range was {
		if !slices.ContainsFunc(is, func(l leaf) bool { return l.key == w.key }) {
			changes = append(changes, Change{File: file, Key: w.key, Old: w.text})
		}
	}
	return changes
}
