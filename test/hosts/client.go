package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// askAgainAndAgain asks through whichever server is open until ctx ends, over one
// connection as long as the answers say that it is good.
func askAgainAndAgain(ctx context.Context, config *pgconn.Config, pace time.Duration, ask func(*pgconn.PgConn) (good bool)) {
	var conn *pgconn.PgConn
	for ; ctx.Err() == nil; time.Sleep(pace) {
		if conn == nil {
			var err error
			if conn, err = pgconn.ConnectConfig(ctx, config); err != nil {
				conn = nil
				continue
			}
		}
		if !ask(conn) {
			_ = conn.Conn().Close()
			conn = nil
		}
	}
	if conn != nil {
		_ = conn.Conn().Close()
	}
}
