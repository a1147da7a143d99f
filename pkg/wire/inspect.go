package wire

import (
	"encoding/json"
	"time"

	"mcctl/pkg/pair"
)

// StatusRequest says what is wanted of the status beyond what is known anyway.
type StatusRequest struct {
	// Replication asks both servers how far they are, which takes some milliseconds.
	Replication bool `json:"replication,omitempty"`
}

// Replication is how far one server is with its log.
type Replication struct {
	Server pair.Server `json:"server"`
	// Error is why there is nothing to see.
	Error string `json:"error,omitempty"`
	// Seen is a postgres.Progress.
	Seen json.RawMessage `json:"seen,omitempty"`
}

// InspectRequest asks a server to look at itself; Clock asks for the time only.
type InspectRequest struct {
	Clock bool `json:"clock,omitempty"`
}

// InspectAnswer holds what a server sees of itself, a check.Side, and its wall clock.
type InspectAnswer struct {
	Side  json.RawMessage `json:"side,omitempty"`
	Clock time.Time       `json:"clock"`
}

// CheckAnswer is what the supervisor adds to a check.
type CheckAnswer struct {
	Known json.RawMessage `json:"known"` // a check.Known
	// Other is the other server's check.Side; without it NoAnswer says why.
	Other    json.RawMessage `json:"other,omitempty"`
	NoAnswer string          `json:"no_answer,omitempty"`
	// Skew is how far the other server's clock is ahead, give or take SkewError.
	Skew      time.Duration `json:"skew"`
	SkewError time.Duration `json:"skew_error"`
}
