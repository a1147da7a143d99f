// Package hook runs the commands that a site has configured for moments in a
// pair's life: fencing, arbitration, post_switch, pre_detach, post_attach and
// event. It knows Mirroring Controller's order of arguments, gives a command an
// environment of its own, a session of its own and a time to end in, and hands on
// what it prints, line by line.
//
// It does not know when a command is due and starts no goroutine: package agent
// does both. Package config asks it whether a file may be a command at all.
package hook

import (
	"encoding/json"
	"fmt"
	"syscall"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// Kind is a moment for which a command may be configured.
type Kind string

const (
	// Fencing cuts the other server off; only its exit status 0 lets what it was
	// called for go on.
	Fencing Kind = "fencing"
	// Arbitration says whether the other server is dead: 0 means it is.
	Arbitration Kind = "arbitration"
	// PostSwitch follows a change of roles, on the new primary, once it is open.
	PostSwitch Kind = "post_switch"
	// PreDetach comes before a standby is detached, on both servers.
	PreDetach Kind = "pre_detach"
	// PostAttach follows an attach, on both servers.
	PostAttach Kind = "post_attach"
	// Event is told every line of the journal.
	Event Kind = "event"
)

// Kinds lists all of them.
func Kinds() []Kind {
	return []Kind{Fencing, Arbitration, PostSwitch, PreDetach, PostAttach, Event}
}

// Command is what to run and how long it may take.
type Command struct {
	Path    string // absolute
	Timeout time.Duration
}

// Values of Call.Mode and Call.Operation, as Mirroring Controller writes them.
const (
	ByMonitor  = "monitor" // the supervisor acts by itself
	ByOperator = "command" // an operator asked for it

	OpSwitch = "switch"
	OpDetach = "detach"
)

// Call is one reason to run a command. It is what the command reads as JSON on its
// standard input; its arguments and environment are made of it too.
type Call struct {
	Command   Kind          `json:"command"`
	Time      time.Time     `json:"time"`
	Mcdir     string        `json:"mcdir"`
	Pair      string        `json:"pair"`
	Server    pair.Server   `json:"server"` // where the command runs
	Role      pair.Role     `json:"role"`   // of that server
	Target    pair.Server   `json:"target,omitempty"`
	Mode      string        `json:"execution_mode,omitempty"` // ByMonitor or ByOperator
	Operation string        `json:"operation,omitempty"`      // OpSwitch or OpDetach
	Record    record.Record `json:"record"`
	// Event is the line of the journal and Action and Text its words (Event only).
	Event  json.RawMessage `json:"event,omitempty"`
	Action string          `json:"-"`
	Text   string          `json:"-"`
	// Dropped counts earlier calls of this kind that never ran because too many waited.
	Dropped int64 `json:"dropped,omitempty"`
}

// center is the last argument of most commands. Mirroring Controller has the word
// standbycenter too, for a second site, which is not ours.
const center = "primarycenter"

// Args are the arguments in Mirroring Controller's order. Event is not one of its
// commands and has an order of our own.
func (c Call) Args() []string {
	me, target := string(c.Server), string(c.Target)
	switch c.Command {
	case Fencing:
		return []string{c.Mode, c.Operation, me, target, center}
	case Arbitration:
		return []string{me, target, center}
	case PostSwitch:
		return []string{me, center}
	case PreDetach, PostAttach:
		return []string{me, string(c.Role), target, center}
	}
	return []string{me, c.Action, c.Text}
}

// Environ is the whole environment of a command. Nothing of the supervisor's own
// goes through but PATH, HOME and LANG: above all not NOTIFY_SOCKET, by which a
// command could speak to systemd in the supervisor's name.
func (c Call) Environ(getenv func(string) string) []string {
	or := func(name, otherwise string) string {
		if v := getenv(name); v != "" {
			otherwise = v
		}
		return name + "=" + otherwise
	}
	return []string{
		or("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
		or("HOME", c.Mcdir),
		or("LANG", "C.UTF-8"),
		"MCCTL_COMMAND=" + string(c.Command),
		"MCCTL_MCDIR=" + c.Mcdir,
		"MCCTL_PAIR=" + c.Pair,
		"MCCTL_SERVER=" + string(c.Server),
		"MCCTL_ROLE=" + string(c.Role),
		"MCCTL_TARGET=" + string(c.Target),
		"MCCTL_EXECUTION_MODE=" + c.Mode,
		"MCCTL_OPERATION=" + c.Operation,
		fmt.Sprintf("MCCTL_TERM=%d", c.Record.Term),
		"MCCTL_PRIMARY=" + string(c.Record.Primary),
		"MCCTL_MODE=" + string(c.Record.Mode),
	}
}

// Outcome is how a command ended.
type Outcome struct {
	// Exit is the exit status, -1 for a command that did not exit by itself.
	Exit   int
	Signal syscall.Signal // that ended it; 0 for none
	// TimedOut: it was ended because its time was over.
	TimedOut bool
	// Err is why it could not be run, or not to its end.
	Err  error
	Took time.Duration
}

// OK: the command ran to its end and said yes.
func (o Outcome) OK() bool { return o.Err == nil && o.Exit == 0 && !o.TimedOut }

// String says it in words that fit behind the command's name.
func (o Outcome) String() string {
	took := o.Took.Round(time.Millisecond)
	switch {
	case o.TimedOut && o.Err != nil:
		return fmt.Sprintf("timed out and %v", o.Err)
	case o.TimedOut:
		return fmt.Sprintf("timed out and was killed after %s", took)
	case o.Err != nil:
		return o.Err.Error()
	case o.Exit < 0:
		return fmt.Sprintf("ended by signal %d (%s) after %s", o.Signal, o.Signal, took)
	}
	return fmt.Sprintf("exit status %d after %s", o.Exit, took)
}
