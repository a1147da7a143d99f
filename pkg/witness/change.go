package witness

import (
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// change applies what from proposes, if package record allows it, and answers when
// it is on the disk.
func (w *Witness) change(k *keep, from wire.Identity, c record.Change) (any, error) {
	if string(c.By) != from.Name {
		return nil, fmt.Errorf("%w: %s cannot propose a change by %s", wire.ErrRefused, from, c.By)
	}
	if err := soundChange(c); err != nil {
		return nil, err
	}
	asked := w.cfg.Clock.Now()
	k.writing.Lock()
	defer k.writing.Unlock()
	now, err := k.settled()
	if err != nil {
		return nil, err
	}
	if err := w.late(k, from, asked); err != nil {
		k.log.Warn("change refused", "pair", k.pair, "transition", c.Transition, "by", c.By, "reason", err)
		return nil, err
	}
	if !now.Exists() {
		return nil, fmt.Errorf("%w: pair %s has no record yet; it gets one when both servers are connected to the witness", wire.ErrRefused, k.pair)
	}
	next, err := now.Judge(c, w.sight(k, now.Primary))
	if err != nil {
		k.log.Info("change refused", "pair", k.pair, "transition", c.Transition, "by", c.By, "reason", err)
		return nil, refuse(err)
	}
	if err := k.put(now, next); err != nil {
		return nil, err
	}
	k.log.Info("record changed", "pair", k.pair, "transition", c.Transition, "by", c.By, "record", next.String())
	return next, nil
}

// late is a clear no to what waited for the disk longer than a server waits for an answer
// (its heartbeat timeout). The record may be as it was and the pair is not: a primary that
// was alone and away when an operator forced the other is back, and acknowledges alone.
func (w *Witness) late(k *keep, from wire.Identity, asked time.Duration) error {
	k.mu.Lock()
	patience := k.seated(from.Name).timeout(w.cfg.HeartbeatTimeout)
	k.mu.Unlock()
	if waited := w.cfg.Clock.Now() - asked; waited > patience {
		return fmt.Errorf("%w: the change waited %s for the disk of the witness: ask again", wire.ErrRefused, waited.Round(time.Millisecond))
	}
	return nil
}

// refuse marks an error of package record as a clear no, unless it is a conflict.
func refuse(err error) error {
	if errors.Is(err, record.ErrConflict) {
		return err
	}
	return fmt.Errorf("%w: %w", wire.ErrRefused, err)
}

// sight is what the witness knows of the primary. Just started, it has not had the
// chance to hear anybody: a primary not heard yet then counts as heard.
func (w *Witness) sight(k *keep, primary pair.Server) record.Sight {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, s := w.cfg.Clock.Now(), k.seated(string(primary))
	unheard := s == nil && now-w.started <= w.cfg.HeartbeatTimeout
	return record.Sight{
		PrimaryHeard: unheard || s.online(now, w.cfg.HeartbeatTimeout),
		PostgresDown: s.down(),
	}
}

// seed finds a lost or first record again from what both servers know, both connected
// now. Nothing comes of it while one is missing or neither knows a record.
func (w *Witness) seed(k *keep) {
	if !k.writing.TryLock() {
		return // somebody is at it; without a record the servers are asked again (News)
	}
	defer k.writing.Unlock()
	now, err := k.settled()
	known := w.known(k)
	if err != nil || now.Exists() && !now.Outlived(known) || len(known) < maxSeats {
		return
	}
	found, err := record.FromKnown(known)
	if err != nil {
		if text := err.Error(); text != k.unfound {
			k.unfound = text
			k.log.Warn("no record, and the servers do not know one", "pair", k.pair, "error", err)
		}
		return
	}
	found.Pair = k.pair
	if k.put(now, found) == nil {
		k.log.Info("record found again from what both servers know", "pair", k.pair, "record", found.String())
	}
}

// known is what the servers know that are connected and have reported.
func (w *Witness) known(k *keep) map[pair.Server]record.Record {
	k.mu.Lock()
	defer k.mu.Unlock()
	found, now := map[pair.Server]record.Record{}, w.cfg.Clock.Now()
	for _, s := range k.seats {
		if s.reported && s.online(now, w.cfg.HeartbeatTimeout) {
			found[pair.Server(s.name)] = s.report.Known
		}
	}
	return found
}
