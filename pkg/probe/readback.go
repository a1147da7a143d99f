package probe

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Check is what the primary holds of what was acknowledged.
type Check struct {
	From           string `json:"from"` // the server that was read
	Timeline       uint32 `json:"timeline"`
	Rows           uint64 `json:"rows"`
	Lost           uint64 `json:"lost"`           // acknowledged and not there
	Doubled        uint64 `json:"doubled"`        // rows beyond the first of their key
	Unacknowledged uint64 `json:"unacknowledged"` // there though the answer never came; legal
	Unknown        uint64 `json:"unknown"`        // of this run, but never sent
	LostKeys       []Key  `json:"lost_keys,omitempty"`
}

// Key is one row as the writers name it. Check lists at most the first twenty.
type Key struct {
	Writer int    `json:"writer"`
	Seq    uint64 `json:"seq"`
}

// readBack compares the table with the ledger. A read that breaks off is begun
// anew until ctx ends; a part of the rows is no base for a verdict.
func (p *Probe) readBack(ctx context.Context) (*Check, error) {
	for {
		c, err := p.readOnce(ctx)
		if err == nil {
			return c, nil
		}
		if !pause(ctx, 100*time.Millisecond) {
			return nil, fmt.Errorf("read back run %d from table %s: %w; whether rows were lost is not known", p.run, p.opts.Table, err)
		}
	}
}

func (p *Probe) readOnce(ctx context.Context) (*Check, error) {
	s, err := connectPatiently(ctx, p.primaryOnly())
	if err != nil {
		return nil, err
	}
	defer s.drop()
	c := &Check{From: s.reign.host, Timeline: s.reign.timeline}
	present := make([]bitset, p.opts.Writers)
	rows := s.ExecParams(ctx, "select writer, seq from "+p.opts.quoted()+" where run = $1", [][]byte{digits(p.run)}, nil, nil, nil)
	for rows.NextRow() {
		p.found(c, present, string(rows.Values()[0]), string(rows.Values()[1]))
	}
	tag, err := rows.Close()
	if err != nil {
		return nil, err
	}
	if tag.RowsAffected() != int64(c.Rows) {
		return nil, fmt.Errorf("%d rows arrived of %d", c.Rows, tag.RowsAffected())
	}
	p.missing(c, present)
	return c, nil
}

// found counts one row of the table.
func (p *Probe) found(c *Check, present []bitset, writer, seq string) {
	c.Rows++
	w, errWriter := strconv.Atoi(writer)
	n, errSeq := strconv.ParseUint(seq, 10, 64)
	switch {
	case errWriter != nil || errSeq != nil || w < 0 || w >= len(present) || n == 0 || n > p.ledger.writers[w].sent:
		c.Unknown++
	case present[w].has(n):
		c.Doubled++
	default:
		present[w].set(n)
		if !p.ledger.writers[w].acked.has(n) {
			c.Unacknowledged++
		}
	}
}

// missing looks for every acknowledged key; it runs after the writers have ended.
func (p *Probe) missing(c *Check, present []bitset) {
	for w := range p.ledger.writers {
		for n := uint64(1); n <= p.ledger.writers[w].sent; n++ {
			if !p.ledger.writers[w].acked.has(n) || present[w].has(n) {
				continue
			}
			if c.Lost++; len(c.LostKeys) < 20 {
				c.LostKeys = append(c.LostKeys, Key{Writer: w, Seq: n})
			}
		}
	}
}
