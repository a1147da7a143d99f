package act

import (
	"context"

	"mcctl/pkg/record"
)

// Detach is T1: the record first, then the names. The reload releases the commits
// that wait.
func (h *Hands) Detach(ctx context.Context) error {
	r, err := h.change(ctx, record.Detach, h.me())
	if err != nil {
		return err
	}
	if err := h.writeSettings(h.primarySettings(false)); err != nil {
		return err
	}
	h.Peer.Kick()
	return h.save(r)
}
