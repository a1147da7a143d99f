package floor

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Switch hands the primary role over in good order and returns once the pair
// replicates synchronously the other way round. Clients cannot write from the
// shutdown to the promotion. Two CHECKPOINTs go before: the second writes what the
// first left behind while it ran, so that the shutdown has least to write.
func (p *Pair) Switch(ctx context.Context) error {
	if err := p.warm(ctx); err != nil {
		return fmt.Errorf("switch: %w", err)
	}
	for range 2 {
		if _, err := p.primary.ask(ctx, "checkpoint"); err != nil {
			return fmt.Errorf("switch: %w", err)
		}
	}
	if err := p.primary.end(ctx, syscall.SIGINT); err != nil {
		return fmt.Errorf("switch: %w", err)
	}
	if err := p.takeOver(ctx); err != nil {
		return fmt.Errorf("switch: %w", err)
	}
	if err := p.follow(ctx); err != nil {
		return fmt.Errorf("switch: bring %s back: %w", p.standby.name, err)
	}
	return nil
}

// Kill ends the primary's postmaster by SIGKILL and promotes the standby. The old
// primary stays down until Heal, which makes it anew: its history may have parted.
func (p *Pair) Kill(ctx context.Context) error {
	if err := p.warm(ctx); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	if err := p.primary.end(ctx, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	if err := p.takeOver(ctx); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	return nil
}

// DetachStandby ends the standby's postmaster by SIGKILL and lets the primary go
// on alone. The standby stays down until Heal.
func (p *Pair) DetachStandby(ctx context.Context) error {
	if err := p.standby.end(ctx, syscall.SIGKILL); err != nil {
		return fmt.Errorf("detach standby: %w", err)
	}
	if err := p.primary.reconfigure("", nil); err != nil {
		return fmt.Errorf("detach standby: %w", err)
	}
	<-p.standby.exit // reaped too, so that Heal finds it gone
	p.standby.hangUp()
	return nil
}

// warm opens the connections beforehand: their making is no part of an event.
func (p *Pair) warm(ctx context.Context) error {
	if err := p.primary.dial(ctx); err != nil {
		return err
	}
	return p.standby.dial(ctx)
}

// end sends a signal that ends the postmaster, and returns when the kernel says
// that it has exited, which is sooner than any poll would.
func (n *node) end(ctx context.Context, sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(n.pid, 0)
	if err != nil {
		return fmt.Errorf("watch %s: %w", n.name, err)
	}
	defer unix.Close(fd)
	if err := n.signal(sig); err != nil {
		return err
	}
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 50)
		if ready > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("watch %s: %w", n.name, err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for %s to exit: %w", n.name, ctx.Err())
		}
	}
}

// takeOver promotes the standby, whose primary has exited, and swaps the names.
// The request is repeated every 10 ms: one that arrives while the startup process
// is about to sleep is noticed only wal_retrieve_retry_interval later.
func (p *Pair) takeOver(ctx context.Context) error {
	s := p.standby
	var asked time.Time
	for {
		if time.Since(asked) >= 10*time.Millisecond {
			if err := s.askPromotion(); err != nil {
				return err
			}
			asked = time.Now()
		}
		recovering, err := s.ask(ctx, "select pg_is_in_recovery()")
		if err != nil {
			return fmt.Errorf("promote: %w", err)
		}
		if recovering == "f" {
			p.primary, p.standby = s, p.primary
			<-p.standby.exit // reaped; the kernel told of its end before
			p.standby.hangUp()
			return nil
		}
		if err := pause(ctx, 300*time.Microsecond); err != nil {
			return fmt.Errorf("promote %s: %w", s.name, err)
		}
	}
}

// askPromotion does what pg_ctl promote does, without its polling.
func (n *node) askPromotion() error {
	if err := os.WriteFile(n.path("promote"), nil, 0o600); err != nil {
		return fmt.Errorf("ask %s for promotion: %w", n.name, err)
	}
	return n.signal(syscall.SIGUSR1)
}
