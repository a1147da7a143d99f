package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/record"
)

// TakeOver is T3's first step: the keeper's permission. What remains (Promote)
// follows from the record alone, so that a crash in between changes nothing.
func (h *Hands) TakeOver(ctx context.Context) error {
	_, err := h.change(ctx, record.Failover, h.me())
	return err
}

// HandOver is T4 after a failure: PostgreSQL is dead, hung, without a disk or without
// data here, and while the record says paired the other server holds every acknowledged
// commit. Nothing needs to be stopped first: without the other server's
// walreceiver, which its promotion ends, nothing can be acknowledged here.
func (h *Hands) HandOver(ctx context.Context) error {
	if s := h.Board.Read(); s.RunsUnseen() {
		return fmt.Errorf("%s still streams from a PostgreSQL of this server, which does not run in %s: check data_directory in server.toml, and whether its file system is mounted", h.other(), h.Config.Server.DataDirectory)
	}
	r, err := h.change(ctx, record.HandOver, h.other())
	if err != nil {
		return err
	}
	patience := h.Config.Timings().HeartbeatTimeout.Duration
	if h.Board.Read().DiskFailed {
		patience = h.Config.Timings().HeartbeatInterval.Duration
	}
	return h.handedOver(ctx, r, patience)
}

var errDiskSilent = errors.New("save the own copy of the record: the disk does not answer; the other server reads the record from the keeper")

// handedOver saves the record by which the other server reigns, and then tells it.
// In this order: were this server to forget what the other one acts upon, a keeper
// that has lost its records could find the old reign again. The disk may hang for good.
// PostgreSQL here must not stay open for that long: it takes connections, and clients
// wait in vain instead of going on.
func (h *Hands) handedOver(ctx context.Context, r record.Record, patience time.Duration) error {
	ctx, cancel := h.within(ctx, patience, errDiskSilent)
	defer cancel()
	return h.Aside(func() error {
		if err := h.save(r); err != nil {
			return err // the other server reads the record from the keeper
		}
		h.announce(ctx, r)
		return nil
	})(ctx)
}
