package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"mcctl/pkg/record"
)

var (
	// ErrNoAnswer is the class of everything that is not a clear answer: not
	// connected, connection lost, deadline passed. What was asked may have happened.
	ErrNoAnswer = errors.New("no answer")
	// ErrRefused marks, in a handler's error, a clear no: nothing was changed.
	ErrRefused = errors.New("refused")
	// ErrNotYet marks, in a handler's error, what was begun and goes on: it may be asked
	// about again.
	ErrNotYet = errors.New("not yet")
	// errHandshake: the connection was made, but the two did not come to terms.
	errHandshake = errors.New("shake hands")
)

// Codes tell errors apart for programs; the text is for people.
const (
	CodeConflict = "conflict"  // record.ErrConflict
	CodeRefused  = "refused"   // ErrRefused
	CodeNotYet   = "not-yet"   // ErrNotYet
	CodeNoAnswer = "no-answer" // the answering process in turn got no answer
	CodeInternal = "internal"  // anything else: whether something happened is unknown
)

// RemoteError is an error that the other side answered. errors.Is finds
// record.ErrConflict, ErrRefused, ErrNotYet and ErrNoAnswer in it as if there were no wire
// in between.
type RemoteError struct {
	Code string
	Text string
}

func (e *RemoteError) Error() string { return e.Text }

// Is makes a code equal to the error it stands for.
func (e *RemoteError) Is(target error) bool {
	switch e.Code {
	case CodeConflict:
		return target == record.ErrConflict
	case CodeRefused:
		return target == ErrRefused
	case CodeNotYet:
		return target == ErrNotYet
	case CodeNoAnswer:
		return target == ErrNoAnswer
	}
	return false
}

func codeOf(err error) string {
	var remote *RemoteError
	switch {
	case errors.Is(err, ErrNoAnswer):
		// First: an error of several kinds must not sound more certain than it is.
		return CodeNoAnswer
	case errors.Is(err, record.ErrConflict):
		return CodeConflict
	case errors.Is(err, ErrRefused):
		return CodeRefused
	case errors.Is(err, ErrNotYet):
		return CodeNotYet
	case errors.As(err, &remote) && remote.Code != "":
		return remote.Code
	}
	return CodeInternal
}

// isRefused reports that no process listens: the kernel said so.
func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

// plain strips what changes with every attempt (local ports), so that the same
// trouble has the same text and is told once.
func plain(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return fmt.Sprintf("the other side does not accept our certificate (%v); its log says why", op.Err)
	}
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	var foreign tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &foreign):
		return fmt.Sprintf("what answers there is not mcctl, it begins with %q: check the address", foreign.RecordHeader[:])
	case errors.As(err, &authority):
		return "what answers there has a certificate of another authority: check the address, and tls.ca on both sides"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the other side closed the connection"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "connected, but nothing was heard in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no process listens there; start it"
	}
	return strings.TrimPrefix(err.Error(), errHandshake.Error()+": ")
}

// told is an error that reads as plain has it.
type told struct{ error }

func (t told) Error() string { return plain(t.error) }

func (t told) Unwrap() error { return t.error }

// Carried is a handler's error as whoever asked gets it.
func Carried(err error) error { return &RemoteError{Code: codeOf(err), Text: err.Error()} }
