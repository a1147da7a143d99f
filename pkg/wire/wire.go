// Package wire is what supervisors, the witness and the command line say to each
// other: messages, frames, connections and certificates. One TCP connection with
// mutual TLS 1.3 carries heartbeats, reports and requests between two processes; a
// unix socket without TLS does the same on one machine, where file permissions say
// who may.
//
// A frame is four bytes of length, the most significant first, and that many bytes
// of JSON: {"id":7,"kind":"read","body":{}} asks, {"id":7,"body":{}} or
// {"id":7,"error":"…","code":"…"} answers. A frame of length zero is a bare
// heartbeat: still here, nothing changed. With the top bit of the length set it
// asks for one in return. {"id":0} in return says: there is news, report now.
//
// It does not know what a record means, decides nothing and starts nothing; it only
// tells "the other side said no" (RemoteError) from "no answer" (ErrNoAnswer),
// because the protocol's safety hangs on that difference. Called by observe, act,
// agent, arbiter, witness, cli and lab.
package wire

import (
	"context"
	"encoding/json"
	"time"
)

// LocalName is the name of whoever connects over the unix socket.
const LocalName = "local"

// Identity is who is at the other end of a connection: what its certificate says,
// or {Name: LocalName} on the unix socket. It is never taken from a message.
type Identity struct {
	Pair string
	Name string
}

func (i Identity) String() string {
	if i.Pair == "" {
		return i.Name
	}
	return i.Pair + "/" + i.Name
}

// Handler answers what arrives at a server. Its methods are called from many
// goroutines at once, but for one connection heartbeats and reports come in order.
type Handler interface {
	// Handle answers one request. A report (KindReport) must be answered without
	// waiting: it is handled before anything behind it is read. Everything else runs
	// concurrently. ctx ends with the connection or with Serve; work that must
	// outlive its asker uses context.WithoutCancel. The error's text goes to the
	// asker as a RemoteError, with the code that errors of this package, ErrRefused
	// and record.ErrConflict have.
	Handle(ctx context.Context, from Identity, kind string, body json.RawMessage) (answer any, err error)
	// Gone tells that the connection ended which carried from's heartbeats. It is not
	// called for a connection that only asked (the command line), nor when from's
	// heartbeats have meanwhile moved to a newer connection. It must not wait.
	Gone(from Identity)
	// Beat tells that a bare heartbeat was heard, at a moment of Now. It must not wait:
	// one goroutine hears all connections at rest. It says whether there is something to
	// tell that the last answer to a report of from did not. The answer then is a
	// nudge, and the other side reports at once, which keeps a quiet connection free of JSON.
	Beat(from Identity, at time.Duration) (news bool)
}
