package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

// newMcArb is mc_arb. Its management directory has a variable of its own.
func newMcArb(env *Env, v *mcVoice) *cobra.Command {
	raw := *env
	raw.Getenv = func(name string) string {
		if name == "MCCONTROLDIR" {
			name = "ARBCONTROLDIR"
		}
		return env.Getenv(name)
	}
	spoken := raw
	spoken.Stdout = &mcLines{voice: v}
	below := []*cobra.Command{newMcArbStart(&spoken), newMcArbStop(&spoken), newArbiterStatus(&raw, runMcArbStatus)}
	for _, cmd := range below {
		cmd.Flags().Lookup("mcdir").Usage = "management `directory` (default: $ARBCONTROLDIR)"
	}
	return newMcRoot(env, mcarbName, "Mirroring Controller's arbitration command, carried out by mcctl", below...)
}

func newMcArbStart(env *Env) *cobra.Command {
	var wait, noWait bool
	cmd := newArbiterStart(env, func(ctx context.Context, env *Env, o *arbiterStartOptions) error {
		if noWait = noWait || !wait; noWait {
			o.Timeout = 0
		}
		err := runArbiterStart(ctx, env, o)
		if f := (&failure{}); noWait && errors.As(err, &f) && f.status == exitGoingOn {
			return nil
		}
		return err
	})
	cmd.Flags().BoolVarP(&wait, "wait", "w", true, "wait until it answers")
	cmd.Flags().BoolVarP(&noWait, "no-wait", "W", false, "return as soon as it was started")
	exclusive(cmd, "wait", "no-wait")
	return cmd
}

// newMcArbStop refuses while a server is connected, as Mirroring Controller does,
// unless -e says to do it all the same.
func newMcArbStop(env *Env) *cobra.Command {
	force := false
	cmd := newArbiterStop(env, func(ctx context.Context, env *Env, o *arbiterStopOptions) error {
		st, err := askArbiter(ctx, o.Mcdir)
		for _, p := range st.Pairs {
			for _, s := range p.Servers {
				if err == nil && s.Online && !force {
					return failed(exitRefused, fmt.Errorf("stop: refused: %s of pair %s is connected", s.Name, p.Pair), "stop the servers first, or stop the arbiter alone: mc_arb stop -e")
				}
			}
		}
		return runArbiterStop(ctx, env, o)
	})
	cmd.Flags().BoolVarP(&force, "force", "e", false, "stop it although servers are connected")
	return cmd
}

// runMcArbStatus prints a table for each pair; one of Mirroring Controller's arbiters
// has but one. The witness does not know the servers' addresses.
func runMcArbStatus(ctx context.Context, env *Env, o *arbiterStatusOptions) error {
	if o.Output == formJSON {
		return runArbiterStatus(ctx, env, o)
	}
	st, err := askArbiter(ctx, o.Mcdir)
	if err != nil {
		return err
	}
	if len(st.Pairs) == 0 { // as an arbiter of Mirroring Controller's that no server is connected to
		return writeMcServers(env.Stdout, wire.WitnessPairStatus{})
	}
	for i, p := range st.Pairs {
		if len(st.Pairs) > 1 {
			_, _ = fmt.Fprintf(env.Stdout, "%spair %s\n", yes(i > 0, "\n", ""), p.Pair)
		}
		if err := writeMcServers(env.Stdout, p); err != nil {
			return err
		}
	}
	return nil
}

func writeMcServers(w io.Writer, p wire.WitnessPairStatus) error {
	rows := [][]string{{"server_id", "host", "status"}}
	for _, s := range p.Servers {
		rows = append(rows, []string{string(s.Name), "-", yes(s.Online, "online", "offline")})
	}
	_, err := fmt.Fprint(w, mcTable(rows))
	return err
}
