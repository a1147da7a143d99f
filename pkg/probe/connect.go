package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// unreplicated is where PostgreSQL gives up the wait for the standby, and warns of it
// (syncrep.c, 13 to 18). The warning's code, 01000, is that of any other, and its text is
// in the language of the server.
const unreplicated = "SyncRepWaitForLSN"

// errReadOnly is why a reachable server was passed over.
var errReadOnly = errors.New("the server takes no writes")

// reignKey tells reigns apart. A server that loses the role and gets it back does
// so on a newer timeline, so acknowledgements of two keys must never interleave.
type reignKey struct {
	host     string
	timeline uint32
}

func (k reignKey) String() string {
	if k.host == "" {
		return "nobody"
	}
	return fmt.Sprintf("%s (timeline %d)", k.host, k.timeline)
}

// session is a connection to a server that took writes when it was made.
type session struct {
	*pgconn.PgConn
	reign             reignKey
	synchronousCommit string
}

const (
	sessionKey = "probe.session" // in pgconn's custom data
	warningKey = "probe.warning"
)

func (o Options) config() (*pgconn.Config, error) {
	c, err := pgconn.ParseConfig(o.URI)
	if err != nil {
		return nil, fmt.Errorf("read connection string: %w; give it as in postgres://user@host1:5432,host2:5432/database", err)
	}
	c.ConnectTimeout = cmp.Or(o.ConnectTimeout, c.ConnectTimeout, 300*time.Millisecond)
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "mcctl_probe"
	}
	c.ValidateConnect = examine
	c.OnNotice = func(conn *pgconn.PgConn, n *pgconn.Notice) {
		if n.Routine == unreplicated {
			conn.CustomData()[warningKey] = n.Message
		}
	}
	return c, nil
}

// examine takes the place of libpq's SHOW transaction_read_only. It asks as often
// (once) and learns the timeline too: the position function is defined outside
// recovery only, and recovery, once over, does not come back within a session.
func examine(ctx context.Context, conn *pgconn.PgConn) error {
	res, err := conn.Exec(ctx, `select current_setting('transaction_read_only'), current_setting('synchronous_commit'),
		case when pg_is_in_recovery() then '0' else left(pg_walfile_name(pg_current_wal_lsn()), 8) end`).ReadAll()
	if err != nil {
		return err
	}
	row := res[0].Rows[0]
	if string(row[0]) == "on" {
		return errReadOnly
	}
	timeline, err := strconv.ParseUint(string(row[2]), 16, 32)
	if err != nil {
		return fmt.Errorf("read timeline: %w", err)
	}
	s := &session{
		PgConn:            conn,
		reign:             reignKey{conn.Conn().RemoteAddr().String(), uint32(timeline)},
		synchronousCommit: string(row[1]),
	}
	s.takeWarning() // of a trigger on logins; no insert's
	conn.CustomData()[sessionKey] = s
	return nil
}

// connect makes one round over the hosts.
func connect(ctx context.Context, config *pgconn.Config) (*session, error) {
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return conn.CustomData()[sessionKey].(*session), nil
}

// connectPatiently goes round until there is a server to the config's liking.
func connectPatiently(ctx context.Context, config *pgconn.Config) (*session, error) {
	for {
		s, err := connect(ctx, config)
		if err == nil {
			return s, nil
		}
		if !pause(ctx, 50*time.Millisecond) {
			return nil, fmt.Errorf("find a server that takes writes: %w; check that the pair has a primary and that the connection string names it", err)
		}
	}
}

// drop closes without a farewell, which a dead server would not answer.
func (s *session) drop() { _ = s.Conn().Close() }

// takeWarning returns the warning that came since the last call, if any, that a commit's wait
// for the standby was given up.
func (s *session) takeWarning() string {
	text, _ := s.CustomData()[warningKey].(string)
	delete(s.CustomData(), warningKey)
	return text
}
