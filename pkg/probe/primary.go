package probe

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// primaryOnly is how to connect to the one server that may speak for the pair. One that was
// replaced, and whose supervisor is dead or cut off, may still be open and has every row
// that it acknowledged: it is passed over.
func (p *Probe) primaryOnly() *pgconn.Config {
	config, oldest := p.config.Copy(), p.ledger.newestTimeline()
	config.ConnectTimeout += p.opts.OpTimeout
	config.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if err := examine(ctx, conn); err != nil {
			return err
		}
		s := conn.CustomData()[sessionKey].(*session)
		if s.reign.timeline < oldest {
			return fmt.Errorf("%s takes writes, but timeline %d has acknowledged some", s.reign, oldest)
		}
		ctx, cancel := context.WithTimeout(ctx, p.opts.OpTimeout)
		defer cancel()
		return s.prove(ctx)
	}
	return config
}

// prove commits a message that nobody reads, and waits for the standby whatever the
// clients' synchronous_commit: the standby of a primary that was replaced has left it.
func (s *session) prove(ctx context.Context) error {
	_, err := s.Exec(ctx, "set local synchronous_commit = on; select pg_logical_emit_message(true, 'mcctl_probe', '')").ReadAll()
	if warning := s.takeWarning(); err == nil && warning != "" {
		err = errors.New(warning)
	}
	if err != nil {
		return fmt.Errorf("%s takes writes, but does not confirm a commit: %w", s.reign, err)
	}
	return nil
}
