package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// eventsOptions are the flags of mcctl events.
type eventsOptions struct {
	Mcdir  string
	Output string
	Last   int
	Follow bool
}

func newEvents(env *Env, run func(context.Context, *Env, *eventsOptions) error) *cobra.Command {
	o := &eventsOptions{}
	cmd := needServer(&cobra.Command{
		Use:   "events",
		Short: "Show what this server has decided and done",
		Long: `Show the journal of this server: each change of the deciding rule, with the facts,
and each action with its outcome. It is read from the management directory, so it
needs no supervisor. With -o json each line is one event, with its facts. An event
with a report names its ID: mcctl events show ID.`,
		Example: `  mcctl events -M /etc/mcctl/orders -n 20
  mcctl events -M /etc/mcctl/orders -f
  mcctl events -M /etc/mcctl/orders -o json | jq 'select(.error)'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Last < 0 {
				return misuse(cmd, "events: --lines %d: there is no such number of events", o.Last)
			}
			return run(cmd.Context(), env, o)
		},
	}, env, &o.Mcdir)
	outputFlag(cmd, &o.Output, formText, formJSON)
	cmd.Flags().IntVarP(&o.Last, "lines", "n", 50, "how many events to begin with")
	cmd.Flags().BoolVarP(&o.Follow, "follow", "f", false, "go on with new events")
	cmd.AddCommand(newEventsShow(env, runEventsShow))
	return cmd
}

func runEvents(ctx context.Context, env *Env, o *eventsOptions) error {
	path := eventsOf(o.Mcdir)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !o.Follow {
		_, _ = fmt.Fprintln(env.Stderr, "no event yet")
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(exitFailed, fmt.Errorf("read events: %w", err), "run mcctl as the user who owns %s", o.Mcdir)
	}
	p := eventPrinter{w: env.Stdout, complaints: env.Stderr, json: o.Output == formJSON}
	t := &tail{path: path, file: f}
	defer t.close()
	for _, line := range lastOf(t.lines(), o.Last) {
		p.print(line)
	}
	for o.Follow && p.err == nil {
		if sleep(ctx, 200*time.Millisecond) != nil {
			break
		}
		for _, line := range t.lines() {
			p.print(line)
		}
	}
	return p.err
}

func lastOf(lines [][]byte, n int) [][]byte { return lines[max(0, len(lines)-n):] }

// tail reads whole lines as they are added, also after the file was rotated away.
type tail struct {
	path string
	file *os.File // nil while there is none
	part []byte   // of a line whose end is not written yet
}

// lines reads what is new, a file that was rotated away to its end first. Where the name
// leads is looked at before: the journal opens its file for each line, so one that has
// lost its name gets no more.
func (t *tail) lines() (all [][]byte) {
	next := t.next()
	all = t.read()
	if next != nil {
		t.close()
		t.file, t.part = next, nil
		all = append(all, t.read()...)
	}
	return all
}

func (t *tail) read() (all [][]byte) {
	if t.file == nil {
		return nil
	}
	r := bufio.NewReader(t.file)
	for {
		line, err := r.ReadBytes('\n')
		t.part = append(t.part, line...)
		if err != nil { // its end, for now; anything worse shows as no news
			return all
		}
		all = append(all, t.part)
		t.part = nil
	}
}

// next is another file to which the name leads now, or the beginning of one that was cut;
// nil for none.
func (t *tail) next() *os.File {
	named, err := os.Stat(t.path)
	if err != nil {
		return nil
	}
	if t.file != nil {
		mine, errMine := t.file.Stat()
		at, errAt := t.file.Seek(0, io.SeekCurrent)
		if errMine == nil && errAt == nil && os.SameFile(mine, named) && mine.Size() >= at {
			return nil
		}
	}
	f, err := os.Open(t.path)
	if err != nil {
		return nil
	}
	return f
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close()
	}
}

// event is the part of a journal's line that people read.
type event struct {
	Time  time.Time `json:"time"`
	Error string    `json:"error"`
	Text  string    `json:"text"`
}

type eventPrinter struct {
	w, complaints io.Writer
	json          bool
	err           error // of writing: whoever read us has left
}

func (p *eventPrinter) print(line []byte) {
	if p.err != nil {
		return
	}
	if p.json && json.Valid(line) {
		_, p.err = p.w.Write(line)
		return
	}
	if p.json { // a full disk tears a line
		_, p.err = fmt.Fprintf(p.complaints, "mcctl: events: left out, as it cannot be read: %s\n", bytes.TrimSpace(line))
		return
	}
	var e event
	if json.Unmarshal(line, &e) != nil {
		_, p.err = fmt.Fprintf(p.w, "(cannot be read) %s", line)
		return
	}
	_, p.err = fmt.Fprintf(p.w, "%s  %s\n", e.Time.Local().Format("2006-01-02 15:04:05.000"), e.Text)
}
