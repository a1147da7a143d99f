package wire

import "mcctl/pkg/record"

// Kinds by which the arbiter is replaced. KindMove comes from an operator and is passed
// on to the primary; by KindMoveHere the primary asks the standby for its part.
const (
	KindMove     = "move"
	KindMoveHere = "move-here"
)

// MoveStep is what of a move is asked for.
type MoveStep string

const (
	// MoveCheck looks whether it can be done, and changes nothing.
	MoveCheck MoveStep = "check"
	// MovePrepare checks too, and has a server remember where it is to go.
	MovePrepare MoveStep = "prepare"
	// MoveForget takes that back.
	MoveForget MoveStep = "forget"
	// MoveTurn has a server use the new arbiter: the old one grants nothing any more.
	MoveTurn MoveStep = "turn"
	// MoveCarry does all of it.
	MoveCarry MoveStep = "carry"
)

// MoveRequest asks for another arbiter.
type MoveRequest struct {
	Step MoveStep `json:"step"`
	// Arbiter are the keys below "arbiter." in pair.toml, with their values as TOML
	// writes them.
	Arbiter map[string]string `json:"arbiter"`
	// Gone: an operator vouches that the present arbiter never answers again.
	Gone bool `json:"gone,omitempty"`
	// Record is the primary's; what the new arbiter holds must be older.
	Record record.Record `json:"record"`
}

// MoveHere is how a server stands to a move.
type MoveHere struct {
	From string `json:"from"` // in force
	To   string `json:"to"`
	Done bool   `json:"done"` // they are the same
}

// MoveAnswer is how the pair stands to it, and what was done.
type MoveAnswer struct {
	From string `json:"from"`
	To   string `json:"to"`
	Done bool   `json:"done"` // both servers use it already
	// Held: the standby was detached by an operator and stays so.
	Held  bool       `json:"held,omitempty"`
	Steps []MoveTook `json:"steps,omitempty"`
	// Left is what could not be done yet; it is tried again.
	Left string `json:"left,omitempty"`
}

// MoveTook is a step that was done, and when, in milliseconds from the beginning.
type MoveTook struct {
	Step string  `json:"step"`
	AtMS float64 `json:"at_ms"`
}
