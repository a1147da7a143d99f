package witness

import (
	"context"
	"encoding/json"
	"fmt"

	"mcctl/pkg/wire"
)

// Handle answers reports, reads, changes and, on the unix socket, status.
func (w *Witness) Handle(_ context.Context, from wire.Identity, kind string, body json.RawMessage) (any, error) {
	if from.Pair == "" {
		return w.local(kind, body)
	}
	if !wire.ValidName(from.Pair) {
		return nil, fmt.Errorf("%w: %q cannot be a pair", wire.ErrRefused, from.Pair)
	}
	k := w.keep(from.Pair)
	switch kind {
	case wire.KindReport:
		var r wire.WitnessReport
		if err := decode(kind, body, &r); err != nil {
			return nil, err
		}
		return w.report(k, from, r)
	case wire.KindRead:
		return k.read()
	case wire.KindChange:
		var r wire.ChangeRequest
		if err := decode(kind, body, &r); err != nil {
			return nil, err
		}
		return w.change(k, from, r.Change)
	}
	return nil, fmt.Errorf("%w: a witness does not know %q", wire.ErrRefused, kind)
}

func (w *Witness) local(kind string, body json.RawMessage) (any, error) {
	if kind != wire.KindStatus {
		return nil, fmt.Errorf("%w: a witness does not answer %q here", wire.ErrRefused, kind)
	}
	var r wire.WitnessStatusRequest
	if len(body) > 0 {
		if err := decode(kind, body, &r); err != nil {
			return nil, err
		}
	}
	return w.status(r.After), nil
}

func decode(kind string, body json.RawMessage, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: cannot read the %s: %w", wire.ErrRefused, kind, err)
	}
	return nil
}
