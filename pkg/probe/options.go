package probe

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Options say how to probe. The zero value of a field means its default.
type Options struct {
	// URI is a libpq connection string or URI, usually with every server of the
	// pair as a host; empty means the PG* environment variables. Whatever its
	// target_session_attrs says, only a server that takes writes is used.
	URI      string
	Writers  int           // connections that write; default 4
	Interval time.Duration // pace of one writer; default 5 ms
	Duration time.Duration // how long Run writes; 0 means until its context ends
	Table    string        // written to, "schema.name" or "name"; default mcctl_probe
	Marks    <-chan Mark   // moments to note; may be nil, may be closed

	OpTimeout      time.Duration // client-side limit for one insert; default 1 s
	ConnectTimeout time.Duration // per host; default the URI's connect_timeout, or else 300 ms
	Retry          time.Duration // pause after no host could be used; default 5 ms
	CheckTimeout   time.Duration // for finding a primary and reading back; default 60 s

	// GapMin is the silence that is listed as a gap; default 20 ms, or three
	// intervals where that is longer.
	GapMin time.Duration
	Keep   bool // leave this run's rows in the table
}

func (o Options) withDefaults() (Options, error) {
	if o.Writers < 0 || min(o.Interval, o.Duration, o.OpTimeout, o.ConnectTimeout, o.Retry, o.CheckTimeout, o.GapMin) < 0 {
		return o, fmt.Errorf("probe: writers and durations must not be negative; leave out what shall have its default")
	}
	o.Writers = cmp.Or(o.Writers, 4)
	o.Interval = cmp.Or(o.Interval, 5*time.Millisecond)
	o.Table = cmp.Or(o.Table, "mcctl_probe")
	o.OpTimeout = cmp.Or(o.OpTimeout, time.Second)
	o.Retry = cmp.Or(o.Retry, 5*time.Millisecond)
	o.CheckTimeout = cmp.Or(o.CheckTimeout, time.Minute)
	o.GapMin = cmp.Or(o.GapMin, max(20*time.Millisecond, 3*o.Interval))
	return o, nil
}

// breakMin is the silence after which writes count as interrupted. It is longer
// than GapMin, so that the stutter of a busy machine does not hold WaitCalm up.
func (o Options) breakMin() time.Duration { return max(200*time.Millisecond, 3*o.Interval) }

// quoted is the table as SQL.
func (o Options) quoted() string {
	parts := strings.Split(o.Table, ".")
	for i, p := range parts {
		parts[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}
