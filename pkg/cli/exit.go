package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"mcctl/pkg/shell"
)

// exitStatus is what a script sees of a command.
type exitStatus int

const (
	exitDone       exitStatus = iota // done, or true when asked
	exitFailed                       // tried and failed
	exitUsage                        // the command line or the configuration is wrong; nothing was tried
	exitGoingOn                      // a timeout or Ctrl-C ended the command, not the job
	exitRefused                      // not safe now; nothing was changed
	exitNotRunning                   // no supervisor (or arbiter) is running here
	exitWarnings                     // check: no errors, but warnings, or not everything could be looked at
)

// exitHelp stands below the help of every command.
const exitHelp = `
Exit status:
  0  done
  1  failed
  2  wrong usage or configuration; nothing was tried
  3  still going on: a timeout or Ctrl-C ended the command, not the job
  4  refused as not safe; nothing was changed
  5  no supervisor is running here
  6  warnings, or not everything could be looked at (check)
`

// failure is an error that knows its exit status and what to do next. One without
// an error has told everything already.
type failure struct {
	status exitStatus
	err    error
	hint   string
}

func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit status %d", f.status)
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// failed takes what fills the hint; a path among that becomes one word of a command.
func failed(status exitStatus, err error, hint string, args ...any) error {
	args = slices.Clone(args) // they may be the caller's
	for i, arg := range args {
		if text, is := arg.(string); is {
			args[i] = shell.Path(text)
		}
	}
	return &failure{status, err, fmt.Sprintf(hint, args...)}
}

// quietly ends a command whose output has said why already.
func quietly(status exitStatus) error { return &failure{status: status} }

// report tells the user of an error and turns it into the exit status.
func report(w io.Writer, err error) exitStatus {
	if err == nil {
		return exitDone
	}
	f := &failure{status: exitFailed, err: err}
	if !errors.As(err, &f) && errors.Is(err, context.Canceled) {
		f.err = errors.New("interrupted")
	}
	if f.err == nil {
		return f.status
	}
	_, _ = fmt.Fprintf(w, "mcctl: %v\n", f.err)
	if f.hint != "" {
		_, _ = fmt.Fprintf(w, "hint: %s\n", f.hint)
	}
	return f.status
}
