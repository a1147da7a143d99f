package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"mcctl/pkg/pair"
	"mcctl/test/bench/stage"
)

// How long clients try to write to a server that was frozen while it was replaced.
const ghostTime = 4 * time.Second

// oldSessions are clients that still talk to a server that was frozen: one that was
// connected before, and others that connect as soon as it goes on. What it
// acknowledges to them must be on the new primary, or it acknowledged as a ghost.
type oldSessions struct {
	uri   string
	table string
	conn  *pgconn.PgConn
	next  int
	acked []int
	ended chan struct{} // closed when nobody writes any more
}

func openOldSessions(ctx context.Context, s *stage.Stage, server pair.Server) (*oldSessions, error) {
	o := &oldSessions{ended: make(chan struct{}), uri: s.Direct(server), table: fmt.Sprintf("ghosts_%d", time.Now().UnixMicro())}
	conn, err := pgconn.Connect(ctx, o.uri)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", server, err)
	}
	o.conn = conn
	if _, err := conn.Exec(ctx, "create table "+o.table+" (n int)").ReadAll(); err != nil {
		return nil, fmt.Errorf("prepare clients of %s: %w", server, err)
	}
	return o, nil
}

// write tries again and again; that it fails is what is hoped for. It begins before
// the server goes on, so that a commit is already waiting for it.
func (o *oldSessions) write(ctx context.Context) {
	defer close(o.ended)
	for end := time.Now().Add(ghostTime); time.Now().Before(end) && ctx.Err() == nil; {
		o.insert(ctx, o.conn)
		o.insertAnew(ctx)
		_ = stage.Pause(ctx, 20*time.Millisecond)
	}
}

func (o *oldSessions) insertAnew(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	conn, err := pgconn.Connect(limit, o.uri)
	if err != nil {
		return
	}
	defer func() { _ = conn.Conn().Close() }()
	o.insert(ctx, conn)
}

// insert notes the row if the server says that it is committed. A session that is
// told nothing in time is closed by the limit, as a client would.
func (o *oldSessions) insert(ctx context.Context, conn *pgconn.PgConn) {
	if conn.IsClosed() {
		return
	}
	limit, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	o.next++
	if _, err := conn.Exec(limit, fmt.Sprintf("insert into %s values (%d)", o.table, o.next)).ReadAll(); err == nil {
		o.acked = append(o.acked, o.next)
	}
}

// missing waits for the last client and counts acknowledged rows that the present
// primary does not have.
func (o *oldSessions) missing(ctx context.Context, s *stage.Stage) (int, error) {
	<-o.ended
	conn, err := pgconn.Connect(ctx, s.Lab.Env()["PGURI"])
	if err != nil {
		return 0, fmt.Errorf("look for rows of the frozen server: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	res, err := conn.Exec(ctx, "select coalesce(string_agg(n::text, ' '), '') from "+o.table).ReadAll()
	if err != nil {
		return 0, fmt.Errorf("look for rows of the frozen server: %w", err)
	}
	there := strings.Fields(string(res[0].Rows[0][0]))
	lost := slices.DeleteFunc(slices.Clone(o.acked), func(n int) bool { return slices.Contains(there, strconv.Itoa(n)) })
	if _, err := conn.Exec(ctx, "drop table "+o.table).ReadAll(); err != nil {
		return len(lost), fmt.Errorf("clean up after the frozen server's clients: %w", err)
	}
	return len(lost), nil
}

func (o *oldSessions) close() { _ = o.conn.Conn().Close() }
