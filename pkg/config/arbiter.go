package config

import (
	"fmt"
	"path/filepath"
)

// Arbiter is arbiter.toml: a witness on its own host.
type Arbiter struct {
	Dir string `toml:"-"` // the management directory, absolute
	// Listen is the address to accept supervisors on; its host may be empty or
	// 0.0.0.0 for every interface.
	Listen string `toml:"listen"`
	// Records is the directory that holds a record for every pair.
	Records string         `toml:"records"`
	TLS     TLS            `toml:"tls"`
	Timings ArbiterTimings `toml:"timings"`
}

// ArbiterTimings says how long a witness believes that a supervisor lives.
type ArbiterTimings struct {
	// HeartbeatTimeout should be what the pairs have: while it runs, the witness
	// refuses to let the standby take over.
	HeartbeatTimeout Duration `toml:"heartbeat_timeout"`
}

// DefaultArbiter is an arbiter.toml in which everything that can be left out has
// been; the TLS files are still missing.
func DefaultArbiter() Arbiter {
	return Arbiter{
		Listen:  "0.0.0.0:27541",
		Records: "records",
		Timings: ArbiterTimings{HeartbeatTimeout: defaultTimings().HeartbeatTimeout},
	}
}

// LoadArbiter reads and checks an arbiter's management directory, as Load does a
// server's.
func LoadArbiter(dir string) (*Arbiter, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find management directory %s: %w", dir, err)
	}
	a := DefaultArbiter()
	a.Dir = dir
	at := open(a.Path(ArbiterFile))
	at.fill(&a)
	absolute(dir, &a.Records)
	a.TLS.resolve(dir)
	a.check(at)
	if err := at.err(); err != nil {
		return nil, err
	}
	return &a, nil
}

// Path is the path of something below the management directory.
func (a *Arbiter) Path(elements ...string) string {
	return filepath.Join(append([]string{a.Dir}, elements...)...)
}

func (a *Arbiter) check(at *source) {
	at.require("listen", a.Listen)
	at.require("records", a.Records)
	if err := checkAddress(a.Listen, true); err != nil {
		at.complain("listen", "%v", err)
	}
	if d := a.Timings.HeartbeatTimeout; d.Duration < shortest {
		at.complain("timings.heartbeat_timeout", "is %v; it must be at least %v", d, shortest)
	}
	a.TLS.check(at)
}
