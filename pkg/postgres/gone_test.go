package postgres

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mcctl/pkg/majors"
	"mcctl/test/fault"
)

// Nobody tells a program that waits for the source's next byte that its host has gone.
func TestACopyNoticesThatItsSourceHasGone(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	primary := newServer(t)
	start(t, primary)
	for _, soon := range []bool{false, true} {
		source := sourceOf(primary, "copy")
		if soon { // the source's own options win
			source.Options += " keepalives_idle=1 keepalives_interval=1 keepalives_count=1 tcp_user_timeout=2000"
		}
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		err := newInstance(t).BaseBackup(ctx, source, BackupOptions{MaxRate: "1M", Progress: func(done, _ int64) {
			if done > 0 {
				fault.Network(t, false)
			}
		}})
		noticed := ctx.Err() == nil
		fault.Network(t, true)
		cancel()
		if err == nil || noticed != soon {
			t.Errorf("noticed within 8 s: %t, by options: %t: %v", noticed, soon, err)
		}
	}
}

func TestProgramsThatWaitForASourceNoticeThatItHasGone(t *testing.T) {
	source := Source{Host: "a", Options: "sslmode=disable tcp_user_timeout=1000"}
	for _, args := range [][]string{
		(&Instance{}).rewindArguments(source, majors.Abilities{}),
		BackupOptions{}.arguments(source, copyGoal{}),
	} {
		if line := strings.Join(args, " "); !strings.Contains(line, "keepalives_idle=10 keepalives_interval=10 keepalives_count=5 tcp_user_timeout=60000 sslmode=disable tcp_user_timeout=1000") {
			t.Errorf("%q", line)
		}
	}
}

func TestOwnConnectionsToASourceNoticeThatItHasGone(t *testing.T) {
	primary := newServer(t)
	start(t, primary)
	conn, err := sourceOf(primary, "client").dial(within(t))
	ok(t, err)
	defer (&Session{conn: conn}).Close()
	raw, err := conn.PgConn().Conn().(*net.TCPConn).SyscallConn()
	ok(t, err)
	ok(t, raw.Control(func(fd uintptr) {
		for option, want := range map[int]int{unix.TCP_KEEPIDLE: 10, unix.TCP_KEEPINTVL: 10, unix.TCP_KEEPCNT: 5, unix.TCP_USER_TIMEOUT: 60000} {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option); err != nil || got != want {
				t.Errorf("option %d is %d, want %d: %v", option, got, want, err)
			}
		}
	}))
}
