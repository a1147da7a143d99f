package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// canaryPoll is how often the canary's backend is looked at.
const canaryPoll = 2 * time.Millisecond

// Canary is a commit that waits for the standby if, and only if, backends know
// that synchronous_standby_names is set. Nothing else shows that: backends decide
// by a flag in shared memory which the checkpointer sets some time after the
// reload, while sync_state in pg_stat_replication is computed from the asking
// backend's own settings (src/backend/replication/syncrep.c, 13 to 18).
//
// Use: pause replay on the standby, StartCanary here, read InForce, resume replay,
// Finish, which lasts as long as the standby's replay is behind. The canary asks for remote_apply, so it alone is held up by the pause.
// It writes nothing but one logical message into the WAL.
type Canary struct {
	conn    *pgx.Conn
	abandon context.CancelFunc // gives the commit up
	done    chan struct{}      // closed when the commit has returned
	err     error              // what it returned; read after done
	inForce bool
}

// StartCanary commits in the background and returns once that commit is seen
// waiting, or has returned. On an error nothing is left waiting.
func (in *Instance) StartCanary(ctx context.Context) (*Canary, error) {
	watch, err := in.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("start canary: %w", err)
	}
	defer watch.Close()
	c, err := in.commitCanary(ctx)
	if err != nil {
		return nil, fmt.Errorf("start canary: %w", err)
	}
	if err := c.settle(ctx, watch); err != nil {
		c.giveUp()
		return nil, fmt.Errorf("start canary: %w", err)
	}
	return c, nil
}

// InForce tells whether commits wait for the standby: this one was seen waiting.
func (c *Canary) InForce() bool { return c.inForce }

// Finish waits until the commit has returned. When ctx ends first the commit is
// given up, which is harmless, and its connection is closed.
func (c *Canary) Finish(ctx context.Context) error {
	select {
	case <-c.done:
		c.giveUp()
		if c.err != nil {
			return fmt.Errorf("finish canary: %w", c.err)
		}
		return nil
	case <-ctx.Done():
		c.giveUp()
		return fmt.Errorf("finish canary: %w", context.Cause(ctx))
	}
}

func (in *Instance) commitCanary(ctx context.Context) (*Canary, error) {
	conn, err := in.dial(ctx)
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{
		"begin read write",
		"set local synchronous_commit = remote_apply",
		"select pg_logical_emit_message(true, 'mcctl', 'attach')",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			(&Session{conn: conn}).Close()
			return nil, err
		}
	}
	// Not under the caller's ctx: he goes on and resumes replay meanwhile.
	background, abandon := context.WithCancel(context.WithoutCancel(ctx))
	c := &Canary{conn: conn, abandon: abandon, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		_, c.err = conn.Exec(background, "commit")
	}()
	return c, nil
}

// settle watches until the commit waits or has returned.
func (c *Canary) settle(ctx context.Context, watch *Session) error {
	tick := time.NewTicker(canaryPoll)
	defer tick.Stop()
	pid := c.conn.PgConn().PID()
	for {
		var waits bool
		err := watch.conn.QueryRow(ctx, "select exists (select from pg_stat_activity where pid = $1 and wait_event = 'SyncRep')", pid).Scan(&waits)
		if err != nil || waits {
			c.inForce = waits
			return err
		}
		select {
		case <-c.done:
			return c.err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// giveUp ends the commit if it still waits, and the connection. pgx closes it on
// a cancelled ctx and asks the server to cancel the wait.
func (c *Canary) giveUp() {
	c.abandon()
	<-c.done
	if c.err == nil || !errors.Is(c.err, context.Canceled) {
		(&Session{conn: c.conn}).Close()
	}
}
