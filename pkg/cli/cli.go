// Package cli is the mcctl command: it reads flags, talks to the supervisor on
// this machine over its control socket, and prints what came of it as text or
// JSON. It decides nothing about the pair: what it knows it was told by a
// supervisor, an arbiter or a file in the management directory. The one command
// that is more than a messenger is start, which turns into the supervisor
// (package agent). Called by cmd/mcctl and by nobody else.
package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Env is everything outside that a command touches, so that tests can bring
// their own.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Terminal tells that Stdout is one: only then a screen may be cleared.
	Terminal bool
	// Asking tells that Stdin is one: only then questions are asked.
	Asking bool
	Getenv func(string) string
	// Euid is the effective user id.
	Euid func() int
	// Executable is the path of this program, which start runs again in the background.
	Executable func() (string, error)
	Version    string
}

// Main runs one command and returns its exit status. The end of ctx is the user's
// Ctrl-C.
func Main(ctx context.Context, env *Env, args []string) int {
	env = env.forPeople()
	root := New(env)
	root.SetArgs(append([]string{}, args...)) // nil would make cobra read os.Args
	return int(report(env.Stderr, root.ExecuteContext(ctx)))
}

// New builds the tree of commands.
func New(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "mcctl",
		Short: "Keep two PostgreSQL servers mirrored, and switch between them",
		Long: `mcctl supervises a pair of PostgreSQL servers: one primary, one synchronous
standby, and, if there is one, a small arbiter on a third host.

Every command works on a management directory: -M DIR, or MCCONTROLDIR.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          onlyCommands,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetUsageTemplate(root.UsageTemplate() + exitHelp)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return misuse(cmd, "%w", err)
	})
	root.AddCommand(
		newInit(env, runInit), newConfig(env),
		localServer(newStart(env, runStart)), localServer(newStop(env, runStop)), localServer(newStatus(env, runStatus)),
		localServer(newSwitch(env, runSwitch)), localServer(newDetach(env, runAsk)), localServer(newAttach(env, runAsk)),
		localServer(newEnableFailover(env, runFailover)), localServer(newDisableFailover(env, runFailover)),
		newSymlinks(env, runSymlinks),
		localServer(newRebuild(env, runRebuild)), localServer(newRollingUpdate(env, runRollingUpdate)),
		newExplain(env, runExplain), newRules(env, runRules), newEvents(env, runEvents), newCheck(env, runCheck),
		newArbiter(env), newLab(env), newProbe(env, runProbe), newVersion(env),
		newSupervise(env, runSupervise), newWatchSupervisor(env, runWatch),
		newArbitrate(env, runArbitrate), newWatchArbiter(env, runWatch), newIOProbe(env, runIOProbe), newLookHere(env, runLookHere), newLookForRoom(env, runLookForRoom),
	)
	return root
}

// group is a command that has only commands below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use + " COMMAND", Short: short, Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return misuse(cmd, "%s: name one of its commands", cmd.Name())
		},
	}
	cmd.AddCommand(below...)
	return cmd
}

// onlyCommands refuses a word that is not a command, and guesses which was meant.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	meant := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		meant = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return misuse(cmd, "there is no command %q%s", cmd.CommandPath()+" "+args[0], meant)
}

// noArgs refuses words behind the flags.
func noArgs(cmd *cobra.Command, args []string) error { return atMostArgs(0)(cmd, args) }

func atMostArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return misuse(cmd, "%s: there is no use for %q", cmd.Name(), args[n])
		}
		return nil
	}
}

// oneArg wants exactly one word, called name in messages.
func oneArg(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return misuse(cmd, "%s: name the %s", cmd.Name(), name)
		}
		return atMostArgs(1)(cmd, args)
	}
}

// exclusive refuses two flags that contradict each other. Cobra's own check would
// not tell it from a failure.
func exclusive(cmd *cobra.Command, names ...string) {
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		var given []string
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				given = append(given, "--"+name)
			}
		}
		if len(given) > 1 {
			return misuse(cmd, "%s: %s exclude each other", cmd.Name(), strings.Join(given, " and "))
		}
		return before(cmd, args)
	}
}

// misuse is an error in how the command was typed.
func misuse(cmd *cobra.Command, format string, args ...any) error {
	return failed(exitUsage, fmt.Errorf(format, args...), "see %s --help", cmd.CommandPath())
}
