package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// reloadLimit bounds the wait for a reload, which takes milliseconds.
const reloadLimit = 3 * time.Second

// applySettings writes the settings and returns when the server goes by them. A server
// that is down will read them when it starts.
func (h *Hands) applySettings(ctx context.Context, w settings.Wanted) error {
	if err := h.writeSettings(ctx, w); err != nil {
		return err
	}
	if _, running := h.Postgres.Postmaster(); !running {
		return nil
	}
	return h.proveSettings(ctx, w)
}

// proveSettings waits until a reload is in force. PostgreSQL says nothing to who asked
// for it, and ignores all of it for the sake of one bad line anywhere; so the server
// is asked. The error names the line that is in the way.
func (h *Hands) proveSettings(ctx context.Context, w settings.Wanted) error {
	ctx, cancel := h.within(ctx, reloadLimit, fmt.Errorf("PostgreSQL did not read it within %s", reloadLimit))
	defer cancel()
	session, err := h.Postgres.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	for {
		wrong, err := notInForce(ctx, session, w)
		if err != nil || len(wrong) == 0 {
			return err
		}
		if err := whyNotInForce(ctx, session, wrong); err != nil {
			return err
		}
		if err := h.pause(ctx, 2*time.Millisecond); err != nil {
			return fmt.Errorf("reload: %s is still as %s says: %w", wrong[0].Name, wrong[0].Place(), err)
		}
	}
}

// notInForce lists the managed settings that the server does not have as wanted.
func notInForce(ctx context.Context, session Session, w settings.Wanted) (wrong []postgres.InForce, err error) {
	all, err := session.InForce(ctx, w.Names())
	if err != nil {
		return nil, err
	}
	values := w.Values()
	for _, f := range all {
		if wants, managed := values[f.Name]; managed && f.Value != wants {
			wrong = append(wrong, f)
		}
	}
	return wrong, nil
}

// whyNotInForce tells what keeps a reload from bringing the settings into force, if it
// is more than the moment that a reload takes.
func whyNotInForce(ctx context.Context, session Session, wrong []postgres.InForce) error {
	for _, f := range wrong {
		if f.Fixed() {
			return fmt.Errorf("reload: %s was set on %s of PostgreSQL, which wins over every file: mcctl stop, then mcctl start, which sets no such thing", f.Name, f.Place())
		}
	}
	refused, faults, err := session.FileFaults(ctx)
	if err != nil || !refused {
		return err
	}
	var told error
	for _, f := range faults {
		told = errors.Join(told, errors.New(f.String()))
	}
	return fmt.Errorf("reload: PostgreSQL refuses all of its configuration files until this is mended: %w", told)
}
