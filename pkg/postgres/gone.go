package postgres

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"

	"mcctl/pkg/tcp"
)

// A source whose host loses its power says nothing more, and who only waits for its next
// byte would not notice: libpq's default is the system's, two hours (tcp_keepalive_time),
// and Go's is 5 minutes in pgx. So the kernels ask each other: one that lives answers,
// however busy or frozen its PostgreSQL is, and one that was started again refuses at the
// first probe. A network that is gone for less than goneAfter breaks no copy.
const (
	probeAfter = 10 * time.Second
	probeEvery = 10 * time.Second
	probes     = 5
	goneAfter  = probeAfter + probes*probeEvery
)

// noticing is the source for a program that may wait for long. Its own options win: of two
// equal keywords libpq takes the later one (fe-connect.c, conninfo_parse, 13 to 18).
func (s Source) noticing() Source {
	ours := fmt.Sprintf("keepalives_idle=%.0f keepalives_interval=%.0f keepalives_count=%d tcp_user_timeout=%d",
		probeAfter.Seconds(), probeEvery.Seconds(), probes, goneAfter.Milliseconds())
	s.Options = ours + " " + s.Options
	return s
}

// dialNoticing is the same for a connection of our own.
func dialNoticing(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: probeAfter, Interval: probeEvery, Count: probes},
		Control: func(network, _ string, c syscall.RawConn) error {
			if network == "unix" {
				return nil
			}
			return tcp.SetUserTimeout(c, goneAfter)
		},
	}
	return d.DialContext(ctx, network, addr)
}
