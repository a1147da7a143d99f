package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/probe"
)

// probeOptions are the flags of mcctl probe.
type probeOptions struct {
	URI      string
	Writers  int
	Interval time.Duration
	Duration time.Duration
	Table    string
	Keep     bool
	Output   string
}

func newProbe(env *Env, run func(context.Context, *Env, *probeOptions) error) *cobra.Command {
	o := &probeOptions{}
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "See a switch or a failure as clients see it",
		Long: `Write rows at a steady pace through the usual client connection string, and at the
end read them all back: how long the gaps were, and whether a row that was
acknowledged is missing. Each line on standard input marks that moment by name; the
result tells the gap around each mark. Ctrl-C ends the writing and prints the result.

The exit status is 1 if a row was lost, or if that could not be checked.`,
		Example: `  mcctl probe --uri 'postgresql://app@h1,h2/app?target_session_attrs=read-write'
  (sleep 5; echo switch; mcctl switch >&2; sleep 5) | mcctl probe --duration 15s -o svg >gap.svg`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}
	outputFlag(cmd, &o.Output, formText, formJSON, formSVG)
	f := cmd.Flags()
	f.StringVar(&o.URI, "uri", "", "connection `string` with all servers of the pair (default: $PGURI)")
	f.IntVar(&o.Writers, "writers", 4, "how many clients write")
	f.DurationVar(&o.Interval, "interval", 5*time.Millisecond, "pace of one client")
	f.DurationVar(&o.Duration, "duration", 0, "how long to write (default: until Ctrl-C)")
	f.StringVar(&o.Table, "table", "mcctl_probe", "`table` to write to; made if missing")
	f.BoolVar(&o.Keep, "keep", false, "leave the rows in the table")
	return cmd
}

func runProbe(ctx context.Context, env *Env, o *probeOptions) error {
	uri := o.URI
	if uri == "" {
		uri = env.Getenv("PGURI")
	}
	if uri == "" {
		return failed(exitUsage, errors.New("probe: no connection string"), "give --uri, or set PGURI; for a lab: eval \"$(mcctl lab env DIR)\"")
	}
	// In the background of a terminal there are no marks: to look for them would stop the process.
	signal.Ignore(syscall.SIGTTIN)
	marks := make(chan probe.Mark)
	go passMarks(ctx, env.Stdin, marks)
	result, err := probe.Run(ctx, probe.Options{
		URI: uri, Writers: o.Writers, Interval: o.Interval, Duration: o.Duration, Table: o.Table, Keep: o.Keep, Marks: marks,
	})
	if result == nil {
		return failed(exitFailed, err, "check the connection string, and that the pair has an open primary")
	}
	if err := writeProbe(env.Stdout, result, o.Output); err != nil {
		return err
	}
	if err != nil {
		return failed(exitFailed, err, "the rows could not be read back, so they are not known to be safe; see mcctl status")
	}
	if !result.Safe() {
		return quietly(exitFailed)
	}
	return nil
}

// passMarks turns lines into marks. It ends with the input, or with the process:
// a read from a terminal cannot be broken off.
func passMarks(ctx context.Context, in io.Reader, marks chan<- probe.Mark) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		name := strings.TrimSpace(lines.Text())
		if name == "" {
			continue
		}
		select {
		case marks <- probe.Mark{Name: name, At: time.Now()}:
		case <-ctx.Done():
			return
		}
	}
}

func writeProbe(w io.Writer, r *probe.Result, form string) error {
	switch form {
	case formJSON:
		return r.JSON(w)
	case formSVG:
		return r.SVG(w)
	}
	return r.Text(w)
}
