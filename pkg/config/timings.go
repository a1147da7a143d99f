package config

import (
	"fmt"
	"iter"
	"reflect"
	"time"
)

// Timings says how often the supervisors look and how long they wait.
type Timings struct {
	// Profile names the set of values that the other keys override.
	Profile string `toml:"profile"`
	// HeartbeatInterval: how often a supervisor tells the other one and the arbiter
	// that it lives; after HeartbeatTimeout without a word it counts as lost. The timeout
	// is at least 3 times the interval.
	HeartbeatInterval Duration `toml:"heartbeat_interval"`
	HeartbeatTimeout  Duration `toml:"heartbeat_timeout"`
	// PollInterval: how often the local PostgreSQL is asked for its state.
	PollInterval Duration `toml:"poll_interval"`
	// ProbeInterval: how often a fresh connection is tried; one that does not answer
	// within ProbeTimeout, which is at least ProbeInterval, means that PostgreSQL is frozen.
	ProbeInterval Duration `toml:"probe_interval"`
	ProbeTimeout  Duration `toml:"probe_timeout"`
	// CommitStallMax: how long commits may wait for a standby that does not advance
	// before the primary detaches it; at least 2 times PollInterval.
	CommitStallMax Duration `toml:"commit_stall_max"`
	// IsolationTimeout: a primary that has lost both the standby and the arbiter (see
	// HeartbeatTimeout) for so long, while paired, closes to clients; not while the
	// standby replies over replication. At least 2 times HeartbeatTimeout.
	IsolationTimeout Duration `toml:"isolation_timeout"`
	// IOProbeInterval: how often a small write and sync is tried on PostgreSQL's
	// disks; one that is not done within IOProbeTimeout, which is at least
	// IOProbeInterval, means that the disk hangs.
	IOProbeInterval Duration `toml:"io_probe_interval"`
	IOProbeTimeout  Duration `toml:"io_probe_timeout"`
	// ShutdownTimeout: how long PostgreSQL may take to stop before it is stopped harder.
	ShutdownTimeout Duration `toml:"shutdown_timeout"`
	// PromoteTimeout: how long a promotion may take until writes are accepted.
	PromoteTimeout Duration `toml:"promote_timeout"`
	// AttachSettleMax: how long a standby that was lost again and again must at most be
	// steady before it is attached; it begins with 5 s at the third loss in a row and doubles.
	// A time without loss that is twice as long is a new beginning.
	AttachSettleMax Duration `toml:"attach_settle_max"`
}

// The profiles of the timings.
const (
	ProfileDefault = "default"
	// ProfileTight notices in under a second, at the price of mistaking a short
	// pause of the machine for a fault.
	ProfileTight = "tight"
)

// Profile gives the timings of a profile and whether there is such a profile.
func Profile(name string) (Timings, bool) {
	switch name {
	case ProfileDefault:
		return defaultTimings(), true
	case ProfileTight:
		return tightTimings(), true
	}
	return Timings{}, false
}

func ms(n int64) Duration { return Duration{time.Duration(n) * time.Millisecond} }

func defaultTimings() Timings {
	return Timings{
		Profile:           ProfileDefault,
		HeartbeatInterval: ms(250),
		HeartbeatTimeout:  ms(2000),
		PollInterval:      ms(250),
		ProbeInterval:     ms(1000),
		ProbeTimeout:      ms(2000),
		CommitStallMax:    ms(2000),
		IsolationTimeout:  ms(5000),
		IOProbeInterval:   ms(1000),
		IOProbeTimeout:    ms(5000),
		ShutdownTimeout:   ms(60000),
		PromoteTimeout:    ms(60000),
		AttachSettleMax:   ms(300000),
	}
}

func tightTimings() Timings {
	return Timings{
		Profile:           ProfileTight,
		HeartbeatInterval: ms(100),
		HeartbeatTimeout:  ms(800),
		PollInterval:      ms(100),
		ProbeInterval:     ms(250),
		ProbeTimeout:      ms(800),
		CommitStallMax:    ms(800),
		IsolationTimeout:  ms(2000),
		IOProbeInterval:   ms(500),
		IOProbeTimeout:    ms(2000),
		ShutdownTimeout:   ms(60000),
		PromoteTimeout:    ms(60000),
		AttachSettleMax:   ms(300000),
	}
}

// shortest is the least value any timing may have: below it a supervisor would be
// busy with nothing else, and the scheduler of a loaded machine alone is slower.
const shortest = 10 * time.Millisecond

func (t *Timings) check(at *source) {
	if _, known := Profile(t.Profile); !known {
		at.complain("timings.profile", "%q is not a profile; write %q or %q", t.Profile, ProfileDefault, ProfileTight)
	}
	for key, d := range t.each() {
		if d.Duration < shortest {
			at.complain(key, "is %v; it must be at least %v", d, shortest)
		}
	}
	// Two heartbeats may be lost, or one be late, without a server being given up.
	at.atLeast("timings.heartbeat_timeout", t.HeartbeatTimeout, 3, "heartbeat_interval", t.HeartbeatInterval)
	// A stall is told from a slow commit by two looks at positions that did not move.
	at.atLeast("timings.commit_stall_max", t.CommitStallMax, 2, "poll_interval", t.PollInterval)
	at.atLeast("timings.probe_timeout", t.ProbeTimeout, 1, "probe_interval", t.ProbeInterval)
	at.atLeast("timings.io_probe_timeout", t.IOProbeTimeout, 1, "io_probe_interval", t.IOProbeInterval)
	// A primary must have the time to lose the standby and detach before it takes
	// itself for isolated.
	at.atLeast("timings.isolation_timeout", t.IsolationTimeout, 2, "heartbeat_timeout", t.HeartbeatTimeout)
}

// each yields every duration with its dotted key.
func (t *Timings) each() iter.Seq2[string, Duration] {
	return func(yield func(string, Duration) bool) {
		v := reflect.ValueOf(t).Elem()
		for i := range v.NumField() {
			d, ok := v.Field(i).Interface().(Duration)
			if ok && !yield(dotted("timings", tagOf(v.Type().Field(i))), d) {
				return
			}
		}
	}
}

// atLeast complains unless value >= factor x least; the keys are those of one table.
func (s *source) atLeast(key string, value Duration, factor int64, leastKey string, least Duration) {
	other := parent(key) + "." + leastKey
	bound := time.Duration(factor) * least.Duration
	if value.Duration >= bound || s.told[key] || s.told[other] {
		return
	}
	text := fmt.Sprintf("%s (%v) must be at least %s (%v)", key, value, leastKey, least)
	if factor > 1 {
		text = fmt.Sprintf("%s (%v) must be at least %d x %s (%v) = %v", key, value, factor, leastKey, least, bound)
	}
	// The line to blame is one that the operator wrote; that may be the other key's.
	if !s.has(key) && s.has(other) {
		key = other
	}
	s.add(key, text)
}
