package wire

import "mcctl/pkg/record"

// Kinds of messages between supervisors whose arbiter is "command". Both carry the
// record of who asks.
const (
	// KindTelling: the primary tells the standby that they are paired.
	KindTelling = "telling"
	// KindWord: the primary asks for the standby's word that it will not take over.
	KindWord = "word"
)

// TellingRequest is the body of both.
type TellingRequest struct {
	Record record.Record `json:"record"`
}

// TellingAnswer says that the standby knows of nothing newer. Waived: it has given its
// word from that record before, and cannot take it for paired again.
type TellingAnswer struct {
	Waived bool `json:"waived,omitempty"`
}
