package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"mcctl/pkg/agent"
)

// Types of messages, as Mirroring Controller has them.
const (
	mcInfo    = "INFO"
	mcNotice  = "NOTICE"
	mcWarning = "WARNING"
	mcError   = "ERROR"
)

// Message numbers. From 90001 on they are ours (docs/mc_ctl.md lists them): our
// texts are not Mirroring Controller's, and must not pass for them. An error has
// 90010 and its exit status. 152 is the one of its own that says the same.
const (
	mcNumberInfo    = 90001
	mcNumberNotice  = 90002
	mcNumberWarning = 90003
	mcNumberError   = 90010
	mcNumberArbiter = 152 // failed to connect to the arbiter at start
)

// mcVoice says things in the form program[pid]: TYPE: text (MCAnnnnn).
type mcVoice struct {
	out, err io.Writer
	program  string
	letters  string // MCA, or MCR of the arbiter
	pid      int
}

func (v *mcVoice) say(kind string, number int, text string) {
	to := v.out
	if kind == mcError || kind == mcNotice {
		to = v.err
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			_, _ = fmt.Fprintf(to, "%s[%d]: %s: %s (%s%05d)\n", v.program, v.pid, kind, line, v.letters, number)
		}
	}
}

// aside leaves standard output to the result, for a program, and says everything else on
// standard error.
func (v *mcVoice) aside(env *Env) (*mcVoice, *Env) {
	voice, plain := *v, *env
	voice.out = v.err
	plain.Stdout, plain.Stderr = v.out, &mcLines{voice: &voice}
	return &voice, &plain
}

// report tells of an error and turns it into the exit status, as cli.report does.
func (v *mcVoice) report(err error) exitStatus {
	if err == nil {
		return exitDone
	}
	f := &failure{status: exitFailed, err: err}
	if !errors.As(err, &f) {
		f = &failure{status: exitFailed, err: err}
	}
	if f.err == nil {
		return f.status
	}
	number := mcNumberError + int(f.status)
	if strings.Contains(f.err.Error(), agent.ArbiterNotReached) { // in words of the supervisor, which was another process
		number = mcNumberArbiter
	}
	v.say(mcError, number, f.err.Error())
	if v.program == mcarbName {
		f.hint = strings.ReplaceAll(f.hint, "MCCONTROLDIR", "ARBCONTROLDIR")
	}
	v.say(mcNotice, mcNumberNotice, f.hint)
	return f.status
}

// mcLines makes a message of every line that is written to it.
type mcLines struct {
	voice *mcVoice
	rest  []byte
}

func (l *mcLines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 {
			return len(p), nil
		}
		l.voice.say(mcInfo, mcNumberInfo, string(l.rest[:end]))
		l.rest = l.rest[end+1:]
	}
}
