package probe

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// createTable makes the table unless it exists. It looks first, because CREATE
// TABLE IF NOT EXISTS demands the right to create even where there is nothing to do.
func (p *Probe) createTable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	s, err := connectPatiently(ctx, p.config)
	if err != nil {
		return fmt.Errorf("prepare table %s: %w", p.opts.Table, err)
	}
	defer s.drop()
	table := p.opts.quoted()
	found := s.ExecParams(ctx, "select to_regclass($1) is not null", [][]byte{[]byte(table)}, nil, nil, nil).Read()
	if found.Err != nil {
		return fmt.Errorf("look for table %s: %w", p.opts.Table, found.Err)
	}
	if string(found.Rows[0][0]) == "t" {
		return nil
	}
	_, err = s.Exec(ctx, fmt.Sprintf(`create table if not exists %[1]s
		(run bigint, writer int, seq bigint, at timestamptz default clock_timestamp());
		create index on %[1]s (run, writer, seq)`, table)).ReadAll()
	if err != nil {
		return fmt.Errorf("create table %s: %w; let its owner create it once, or name another table", p.opts.Table, err)
	}
	return nil
}

func (p *Probe) deleteRows(ctx context.Context) error {
	s, err := connectPatiently(ctx, p.primaryOnly())
	if err != nil {
		return fmt.Errorf("delete rows of run %d: %w", p.run, err)
	}
	defer s.drop()
	err = s.ExecParams(ctx, "delete from "+p.opts.quoted()+" where run = $1", [][]byte{digits(p.run)}, nil, nil, nil).Read().Err
	if err != nil {
		return fmt.Errorf("delete rows of run %d from table %s: %w", p.run, p.opts.Table, err)
	}
	return nil
}

func digits(n int64) []byte { return strconv.AppendInt(nil, n, 10) }
