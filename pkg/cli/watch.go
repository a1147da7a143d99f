package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// How soon a process that died is started again. One that dies at once, each
// time, is given more and more rest; one that lived a while is started at once.
const (
	restMin     = 100 * time.Millisecond
	restMax     = 5 * time.Second
	longLife    = 10 * time.Second
	tellStarter = 3 // the file descriptor of the pipe to mcctl start
)

// watchOptions say what to keep running.
type watchOptions struct {
	Mcdir string
	// First are the arguments of the first child, Again those of its successors.
	// They differ in what an operator asked for once.
	First, Again []string
	Tell         bool // say on a pipe when the first child fails
}

func newWatchSupervisor(env *Env, run func(context.Context, *Env, *watchOptions) error) *cobra.Command {
	o, s := &watchOptions{}, &superviseOptions{}
	cmd := needServer(&cobra.Command{
		Use: "watch-supervisor", Hidden: true, Args: noArgs,
		Short: "Keep the supervisor running (started by mcctl start)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Mcdir, o.First = s.Mcdir, s.args()
			// An operator may have changed it since, and the arbiter may be down by then.
			s.Failover, s.McOnly, s.Async, s.Again = "", false, true, true
			o.Again = s.args()
			return run(cmd.Context(), env, o)
		},
	}, env, &s.Mcdir)
	s.flags(cmd)
	cmd.Flags().BoolVar(&o.Tell, "tell", false, "say on descriptor 3 when the first child fails")
	return cmd
}

func newWatchArbiter(env *Env, run func(context.Context, *Env, *watchOptions) error) *cobra.Command {
	o := &watchOptions{}
	cmd := needArbiter(&cobra.Command{
		Use: "watch-arbiter", Hidden: true, Args: noArgs,
		Short: "Keep the arbiter running (started by mcctl arbiter start)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.First = []string{"arbitrate", "-M", o.Mcdir}
			o.Again = o.First
			return run(cmd.Context(), env, o)
		},
	}, env, &o.Mcdir)
	cmd.Flags().BoolVar(&o.Tell, "tell", false, "say on descriptor 3 when the first child fails")
	return cmd
}

// runWatch is what remains of start in the background: it starts the process
// again whenever it dies, until it ends in good order. It holds no state and
// little memory, so that nothing but a signal is likely to end it.
func runWatch(ctx context.Context, env *Env, o *watchOptions) error {
	release, err := claim(watchFile(o.Mcdir))
	if err != nil {
		return failed(exitFailed, fmt.Errorf("watch %s: %w", o.First[0], err), "see mcctl status -M %s", o.Mcdir)
	}
	defer release()
	program, err := env.Executable()
	if err != nil {
		return fmt.Errorf("watch %s: find this program: %w", o.First[0], err)
	}
	w := watcher{program: program, log: env.Stderr}
	if o.Tell {
		syscall.CloseOnExec(tellStarter)
		w.starter = os.NewFile(tellStarter, "starter")
	}
	return w.run(ctx, o.First, o.Again)
}

// watcher keeps one child running.
type watcher struct {
	program string
	log     io.Writer
	starter io.WriteCloser // told of the first failure, then closed; nil for nobody
}

func (w *watcher) run(ctx context.Context, first, again []string) error {
	rest := restMin
	for args := first; ; args = again {
		began := time.Now()
		err := w.child(ctx, args)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if w.starter != nil {
			_, _ = fmt.Fprintln(w.starter, err) // it may have left long ago
			_ = w.starter.Close()
			w.starter = nil
		}
		if time.Since(began) >= longLife {
			rest = restMin
		}
		_, _ = fmt.Fprintf(w.log, "watch: %s ended: %v; starting it again in %s\n", args[0], err, rest)
		if sleep(ctx, rest) != nil {
			return nil
		}
		rest = min(2*rest, restMax)
	}
}

// child runs once. The end of ctx is passed on as SIGTERM, and waited for: ending
// PostgreSQL in good order takes its time.
func (w *watcher) child(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, w.program, slices.Clone(args)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // the log, which it must hold itself
	cmd.Cancel = func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		if errors.Is(err, os.ErrProcessDone) {
			return nil
		}
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", w.program, err)
	}
	debug.FreeOSMemory()
	return cmd.Wait()
}
