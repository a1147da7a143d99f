// Package arbiter is the keeper of the record as a server of the pair sees it: ask
// for the record, propose a change, know what was heard last. The kinds differ in
// who holds the record: a witness process, or the primary itself ("none").
//
// It judges nothing (package record does) and promotes nobody. What it never does
// is guess: an answer is a clear yes, a conflict, a clear no, or no answer, and the
// caller must not take one for another. Used by act and agent.
package arbiter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// Kinds of keepers, as in pair.toml.
const (
	KindWitness = "witness"
	KindCommand = "command"
	KindNone    = "none"
)

// Keeper holds the pair's record.
type Keeper interface {
	// Kind is one of the kinds above.
	Kind() string
	// Run keeps in touch with the keeper until ctx ends, and then returns nil.
	Run(ctx context.Context) error
	// Seen is the newest record known without asking, how long ago the keeper last
	// confirmed it, and whether the keeper is reachable now. The record is zero when
	// there is none or none was ever seen.
	Seen() (r record.Record, age time.Duration, reachable bool)
	// OtherHeard: by the keeper's newest word it hears the other server's supervisor.
	// OtherPostgresDown: and that one reported its PostgreSQL down. Always false
	// when there is no third opinion or it cannot be reached.
	OtherHeard() bool
	OtherPostgresDown() bool
	// Problem is why the keeper does not answer, or could not make a change; empty when it
	// does and could.
	Problem() string
	// Read asks for the record; zero when there is none. Every error is
	// wire.ErrNoAnswer. A closed record is *Moved besides, and a keeper that holds
	// one counts as unreachable: whoever has to ask it may do nothing.
	Read(ctx context.Context) (record.Record, error)
	// Change proposes a transition and returns the record after it. An error is one of
	// three: errors.Is record.ErrConflict, the record has moved on; *Refused, a clear
	// no; errors.Is wire.ErrNoAnswer, whether it happened is unknown.
	Change(ctx context.Context, c record.Change) (record.Record, error)
	// Kick says that what this server reports has changed: tell the keeper now.
	Kick()
}

// Moved is no answer, from a keeper whose record was closed: another one has it now.
type Moved struct{ Record record.Record }

func (e *Moved) Error() string {
	return fmt.Sprintf("its record was moved to %s, which this server does not use yet: repeat mcctl arbiter move", e.Record.Moved)
}

// moved is the error of a closed record, nil of any other.
func moved(r record.Record) error {
	if r.Moved == "" {
		return nil
	}
	return &Moved{r}
}

// Refused is a keeper's clear no. Nothing was changed.
type Refused struct{ Reason string }

func (e *Refused) Error() string { return "the keeper of the record refused: " + e.Reason }

// classify makes err one of the three kinds that Change may return. Whatever is not
// clear is no answer.
func classify(what string, err error) error {
	var remote *wire.RemoteError
	switch {
	case errors.Is(err, wire.ErrNoAnswer), !errors.As(err, &remote):
		return unknown(what, err)
	case errors.Is(err, record.ErrConflict):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, wire.ErrRefused):
		return &Refused{Reason: strings.TrimPrefix(remote.Text, wire.ErrRefused.Error()+": ")}
	}
	return unknown(what, err)
}

func unknown(what string, err error) error {
	if errors.Is(err, wire.ErrNoAnswer) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: %w", what, wire.ErrNoAnswer, err)
}
