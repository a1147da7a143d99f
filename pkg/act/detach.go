package act

import (
	"context"

	"mcctl/pkg/record"
)

// Detach is T1: the record first, then the names. The reload releases the commits
// that wait. The own copy comes in between: if it still said paired when commits
// are acknowledged alone, and the keeper then lost its disk, the copies would
// bring back a promise that no longer holds.
func (h *Hands) Detach(ctx context.Context) error {
	r, err := h.change(ctx, record.Detach, h.me())
	if err != nil {
		return err
	}
	if err := h.save(r); err != nil {
		return err
	}
	h.Peer.Kick()
	return h.applySettings(ctx, h.primarySettings(false))
}
