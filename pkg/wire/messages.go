package wire

import (
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// Kinds of messages to the keeper of the record. KindReport is also what
// supervisors send each other, with a body of their own (Report).
const (
	// KindReport carries a WitnessReport and is answered by a WitnessView.
	KindReport = "report"
	// KindRead has no body and is answered by the record, zero when there is none.
	KindRead = "read"
	// KindChange carries a ChangeRequest and is answered by the new record.
	KindChange = "change"
)

// What a server tells the witness of its PostgreSQL. Anything but WitnessDown
// protects the server from being replaced while its supervisor is heard.
const (
	WitnessUp   = "up"
	WitnessDown = "down"
)

// WitnessReport is what a server tells the witness when it has changed.
type WitnessReport struct {
	Postgres string `json:"postgres"`
	// Known is the newest record that the server knows and may act upon, whether or not
	// it is on its disk: a witness that has lost its records must not fall behind it.
	Known record.Record `json:"known"`
	// TimeoutMS is the pair's heartbeat_timeout in milliseconds: how long its servers
	// count as heard. 0 leaves it to the witness.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
}

// WitnessView is what the witness knows that concerns one server.
type WitnessView struct {
	Record record.Record `json:"record"`
	// OtherHeard: the other server's supervisor is connected to the witness and was
	// heard within the heartbeat timeout.
	OtherHeard bool `json:"other_heard"`
	// OtherPostgresDown: that supervisor reported that its PostgreSQL is down.
	OtherPostgresDown bool `json:"other_postgres_down"`
	// Trouble is why the witness could not write a change now; empty when it could.
	Trouble string `json:"trouble,omitempty"`
}

// ChangeRequest proposes a transition of the record. The keeper accepts it from the
// server named in By only.
type ChangeRequest struct {
	Change record.Change `json:"change"`
}

// WitnessStatusRequest (KindStatus on the witness's unix socket) asks for the pairs
// behind After in the order of their names; a frame cannot hold ten thousand.
type WitnessStatusRequest struct {
	After string `json:"after,omitempty"`
}

// WitnessStatus is a page of what a witness keeps.
type WitnessStatus struct {
	Pairs   []WitnessPairStatus `json:"pairs"`
	More    bool                `json:"more,omitempty"` // ask again with After = the last pair
	PID     int                 `json:"pid"`
	Version string              `json:"version"`
}

// WitnessPairStatus is one pair as its witness sees it.
type WitnessPairStatus struct {
	Pair    string                `json:"pair"`
	Record  record.Record         `json:"record"`
	Error   string                `json:"error,omitempty"` // why the witness cannot answer for this pair, or would not
	Servers []WitnessServerStatus `json:"servers"`
}

// WitnessServerStatus is one server as its witness sees it.
type WitnessServerStatus struct {
	Name     pair.Server `json:"name"`
	Online   bool        `json:"online"`    // connected and heard within the heartbeat timeout
	HeardAgo float64     `json:"heard_ago"` // seconds
	Postgres string      `json:"postgres"`
}
