package observe

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/disk"
	"mcctl/pkg/wire"
)

// Disk watches the disks through a child process that writes and syncs on each of
// them (package disk). The child may hang in the kernel where no signal reaches it;
// then it is left behind, and its silence is the verdict.
type Disk struct {
	Board   *board.Board
	Program string // mcctl itself
	Dir     string // the data directory; where its links lead the child finds out
	// Measured is a directory whose room is looked at, and nothing else.
	Measured       string
	Every, Timeout time.Duration

	places []board.Place
	wal    string      // where pg_wal leads
	due    []time.Time // by place: when its next line is late; zero: none is awaited
	tried  []string    // where the child tries, as far as it is known
	mute   int         // children in a row that ended without a line

	children children
}

// ProbeCommand is the hidden command that runs disk.Probe.
const ProbeCommand = "io-probe"

// leftMax bounds the children that hang in the kernel. When so many do, one more would
// hang as well: the last one is kept, and tells when its disk moves again.
const leftMax = 2

// Watch keeps a child running and notes what it tells until ctx ends.
func (d *Disk) Watch(ctx context.Context) error {
	d.keep(d.given(), time.Now())
	for ctx.Err() == nil {
		d.noteTrouble(d.watchChild(ctx))
		sleep(ctx, d.Every)
	}
	return ctx.Err()
}

// watchChild returns why no child could be started, or none came to its first line.
// That says nothing of the disks: a machine may be out of processes or descriptors.
func (d *Disk) watchChild(ctx context.Context) error {
	d.children.reap(0)
	cmd := exec.Command(d.Program, ProbeCommand, d.Dir, d.Every.String(), d.Measured)
	cmd.Env = []string{"GOMAXPROCS=1"}
	told := false
	if err := d.children.run(ctx, cmd, func(read *os.File) { told = d.listen(ctx, read) }); err != nil {
		return err
	}
	d.mute++
	if told || ctx.Err() != nil {
		d.mute = 0
	}
	if d.mute > 1 {
		return errors.New("it ends before its first try")
	}
	return nil
}

// listen takes the child's lines until it ends or has to be replaced: a new one may
// get through where this one hangs, for example when a file system was mounted anew.
func (d *Disk) listen(ctx context.Context, read *os.File) (told bool) {
	lines, part := bufio.NewReader(read), ""
	d.begin(time.Now())
	for ctx.Err() == nil {
		_ = read.SetReadDeadline(d.nextDue())
		text, err := lines.ReadString('\n')
		part += text
		switch {
		case ctx.Err() != nil:
			return told
		case err == nil:
			var line disk.Line
			if json.Unmarshal([]byte(part), &line) == nil {
				told = true
				d.take(line)
			}
			part = ""
		case !os.IsTimeout(err):
			return told || !errors.Is(err, io.EOF)
		case d.silent(time.Now()) && len(d.children.left) < leftMax:
			return true
		}
	}
	return told
}

// given is what a child tries from the beginning. Where the links lead it finds out later,
// or never while the data directory hangs.
func (d *Disk) given() []string {
	if d.Measured == "" {
		return []string{d.Dir}
	}
	return []string{d.Dir, d.Measured}
}

// begin awaits what a new child tries from the beginning. Of the others the verdict
// stands until it has tried them, too.
func (d *Disk) begin(now time.Time) {
	d.tried = d.given()
	for i, p := range d.places {
		d.due[i] = time.Time{}
		if slices.Contains(d.tried, p.Path) {
			d.await(i, now)
		}
	}
}

func (d *Disk) await(i int, since time.Time) { d.due[i] = since.Add(d.Every + d.Timeout) }

func (d *Disk) nextDue() (first time.Time) {
	for _, at := range d.due {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func (d *Disk) find(path string) int {
	return slices.IndexFunc(d.places, func(p board.Place) bool { return p.Path == path })
}

// speaker is the place that speaks for the disk of a directory that is watched.
func (d *Disk) speaker(path string) int {
	i := d.find(path)
	if i >= 0 && d.places[i].Same != "" {
		return d.find(d.places[i].Same)
	}
	return i
}

func (d *Disk) take(line disk.Line) {
	now := time.Now()
	if len(line.Paths) > 0 {
		d.wal = line.WAL
		d.keep(line.Paths, now)
		return
	}
	i := d.find(line.Path)
	if i < 0 {
		return // of a directory that is watched no more
	}
	d.await(i, now)
	p := &d.places[i]
	p.Error, p.Same, p.Room = line.Error, line.Same, line.Room
	if line.Same != "" {
		d.due[i] = time.Time{}
	}
	d.tell()
}

// keep watches these directories from now on.
func (d *Disk) keep(paths []string, now time.Time) {
	var places []board.Place
	var due []time.Time
	for _, path := range paths {
		place, at := board.Place{Path: path, Measured: path == d.Measured && path != d.Dir}, now.Add(d.Every+d.Timeout)
		if i := d.find(path); i >= 0 {
			place = d.places[i]
			if slices.Contains(d.tried, path) {
				at = d.due[i]
			}
		}
		places, due = append(places, place), append(due, at)
	}
	d.places, d.due, d.tried = places, due, paths
	d.tell()
}

// heldUp is how much later than due this process looks only when it was stopped itself.
// What the child told meanwhile is still to be read then.
const heldUp = 500 * time.Millisecond

// silent notes where no line came in time, and reports whether another child should
// try. Of a directory that is only measured it is no reason.
func (d *Disk) silent(now time.Time) (again bool) {
	for i, at := range d.due {
		if at.IsZero() || now.Before(at) {
			continue
		}
		if now.Sub(at) > heldUp {
			d.await(i, now)
			continue
		}
		d.places[i].Error = fmt.Sprintf("no write came to an end within %s", d.Timeout)
		d.await(i, now)
		again = again || !d.places[i].Measured
	}
	d.tell()
	return again
}

// tell brings what is known onto the board. Only a change of the verdict is news.
func (d *Disk) tell() {
	text, part := "", wire.DiskPart("")
	for _, p := range d.places {
		if p.Error != "" && !p.Measured {
			text, part = fmt.Sprintf("%s: %s", p.Path, p.Error), d.part(p.Path)
			break
		}
	}
	places := slices.Clone(d.places)
	if i := d.speaker(cmp.Or(d.wal, d.Dir)); i >= 0 {
		places[i].Log = true
	}
	change := func(s *board.Sight) { s.DiskFailed, s.DiskError, s.DiskPart, s.Places = text != "", text, part, places }
	if s := d.Board.Read(); s.DiskFailed == (text != "") {
		d.Board.Set(change)
		return
	}
	d.Board.Note(change)
}

// part is what PostgreSQL has in a directory that is tried.
func (d *Disk) part(path string) wire.DiskPart {
	switch path {
	case d.Dir:
		return wire.DiskData
	case d.wal:
		return wire.DiskWAL
	}
	return wire.DiskTablespace
}

// noteTrouble tells that the disks are not being tried, which is not the disks' fault.
func (d *Disk) noteTrouble(err error) {
	text := ""
	if err != nil {
		text = fmt.Sprintf("the I/O probe cannot be started, so a disk that fails would not be noticed: %v", err)
	}
	if d.Board.Read().ProbeTrouble != text {
		d.Board.Note(func(s *board.Sight) { s.ProbeTrouble = text })
	}
}
