package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// Status is the part of mcctl status that a lab looks at.
type Status struct {
	Record  record.Record `json:"record"`
	Healthy bool          `json:"healthy"`
	// Raw is all that mcctl status -o json said.
	Raw json.RawMessage `json:"-"`
	// From is the server that was asked.
	From pair.Server `json:"-"`
}

// Asking a supervisor that is frozen must not take for ever.
const statusTimeout = 5 * time.Second

// Status asks server1's supervisor how the pair is and, if it does not answer,
// server2's. Where no supervisor runs, mcctl answers from a copy of the record that
// may be old; such a server is asked last. The error is that of the last one asked.
func (l *Lab) Status(ctx context.Context) (st Status, err error) {
	pids, order := l.Pids(), servers()
	if pids.Servers[Server1].Supervisor == 0 && pids.Servers[Server2].Supervisor != 0 {
		slices.Reverse(order)
	}
	for _, s := range order {
		if st, err = l.statusOf(ctx, s); err == nil {
			return st, nil
		}
	}
	return Status{}, err
}

func (l *Lab) statusOf(ctx context.Context, s pair.Server) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var out, complaint bytes.Buffer
	cmd := l.run.command(ctx, l.Dir, l.state.Mcctl, "status", "-M", l.Mcdir(s), "-o", "json")
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	// The status of the program tells whether the pair is well; whether it was
	// able to answer, its output tells.
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		return Status{}, fmt.Errorf("ask %s for its status: %w", s, err)
	}
	st := Status{Raw: out.Bytes(), From: s}
	if errJSON := json.Unmarshal(out.Bytes(), &st); errJSON != nil {
		return Status{}, fmt.Errorf("ask %s for its status: %w (%v)%s", s, errJSON, err, lastLines(complaint.String(), 4))
	}
	return st, nil
}

// Ask asks the supervisor of a server itself, over its socket. Whoever asks all the time
// saves the start of a program each time.
func (l *Lab) Ask(ctx context.Context, s pair.Server) (st wire.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	conn, err := wire.Dial(ctx, "unix", filepath.Join(l.Mcdir(s), "run", "control.sock"), nil)
	if err != nil {
		return st, fmt.Errorf("ask %s for its status: %w", s, err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Call(ctx, wire.KindStatus, nil, &st); err != nil {
		return st, fmt.Errorf("ask %s for its status: %w", s, err)
	}
	return st, nil
}
