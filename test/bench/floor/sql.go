package floor

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// dial opens the warm connection unless it is there.
func (n *node) dial(ctx context.Context) error {
	if n.conn != nil && !n.conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable application_name=floor", n.port))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", n.name, err)
	}
	n.conn = conn
	return nil
}

func (n *node) hangUp() {
	if n.conn != nil {
		_ = n.conn.Conn().Close() // the other end may be dead: no farewell
		n.conn = nil
	}
}

// ask runs one statement on the warm connection; the answer is the first field of
// the first row, if any.
func (n *node) ask(ctx context.Context, sql string) (string, error) {
	if err := n.dial(ctx); err != nil {
		return "", err
	}
	res, err := n.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", n.name, err)
	}
	if len(res) == 0 || len(res[0].Rows) == 0 {
		return "", nil
	}
	return string(res[0].Rows[0][0]), nil
}

// until asks again and again, until the answer is true.
func (n *node) until(ctx context.Context, sql string) error {
	for {
		if answer, err := n.ask(ctx, sql); err != nil || answer == "t" {
			return err
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}
