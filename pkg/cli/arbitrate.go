package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/spf13/cobra"

	"mcctl/pkg/config"
	"mcctl/pkg/wire"
	"mcctl/pkg/witness"
)

// arbitrateOptions are those of the arbiter process.
type arbitrateOptions struct{ Mcdir string }

func newArbitrate(env *Env, run func(context.Context, *Env, *arbitrateOptions) error) *cobra.Command {
	o := &arbitrateOptions{}
	return needArbiter(&cobra.Command{
		Use: "arbitrate", Hidden: true, Args: noArgs,
		Short: "Be the arbiter (started by mcctl arbiter start)",
		RunE:  func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
}

// runArbitrate is the arbiter itself, until ctx ends: every record that it has
// answered for is on the disk, so there is nothing to bring in order.
func runArbitrate(ctx context.Context, env *Env, o *arbitrateOptions) error {
	c, err := loadArbiter(o.Mcdir)
	if err != nil {
		return err
	}
	if err := ownsArbiter(env.Euid(), c); err != nil {
		return err
	}
	release, err := claim(arbiterFile(o.Mcdir))
	if err != nil {
		return failed(exitFailed, fmt.Errorf("start arbiter: %w", err), "see mcctl arbiter status -M %s", o.Mcdir)
	}
	defer release()
	// One processor carries thousands of pairs, and saves the runtime the wake-ups that
	// a second one would share the work with: a fifth of what a heartbeat costs.
	runtime.GOMAXPROCS(1)
	return serveWitness(ctx, env, c)
}

func serveWitness(ctx context.Context, env *Env, c *config.Arbiter) error {
	tls, err := wire.LoadTLS(c.TLS.CA, c.TLS.Certificate, c.TLS.Key)
	if err != nil {
		return err
	}
	out := newLogWriter(env.Stderr)
	defer out.close()
	log := slog.New(slog.NewTextHandler(out, nil))
	if tls.OutOfDate != nil {
		log.Error(tls.OutOfDate.Error())
	}
	tls.Renewed(wire.TellRenewed(log))
	w, err := witness.New(witness.Config{
		Records: c.Records, HeartbeatTimeout: c.Timings.HeartbeatTimeout.Duration, Version: env.Version, Log: log,
	})
	if err != nil {
		return err
	}
	servers, err := wire.ListenTLS(c.Listen, tls.Server)
	if err != nil {
		return err
	}
	local, err := wire.ListenUnix(socketOf(c.Dir), 0o600)
	if err != nil {
		return errors.Join(err, servers.Close())
	}
	return w.Run(ctx, servers, local)
}
