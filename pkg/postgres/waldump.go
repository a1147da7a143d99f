package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcctl/pkg/pair"
)

// ErrNoWaldump tells that pg_waldump is not installed beside postgres.
var ErrNoWaldump = errors.New("there is no pg_waldump beside postgres; the package of PostgreSQL's server programs has it")

// Commit is a transaction whose commit, or whose preparing, is in the log.
type Commit struct {
	XID       uint32
	At        time.Time
	LSN       pair.LSN // of the record
	End       pair.LSN // behind it
	Prepared  bool     // and not committed there
	Relations []RelNumber
	More      bool // relations beyond the bound
}

// RelNumber is a relation as the log names it.
type RelNumber struct{ Tablespace, Database, Number uint32 }

// WALContent is what was found in some log.
type WALContent struct {
	Commits []Commit // the first ones
	Count   int      // all of them
	Created map[RelNumber]bool
	End     pair.LSN // behind the last record
	Records int
}

// Add puts what follows behind what is there.
func (c *WALContent) Add(o WALContent, list int) {
	if c.Created == nil {
		c.Created = map[RelNumber]bool{}
	}
	maps.Copy(c.Created, o.Created)
	c.Commits = append(c.Commits, o.Commits...)
	c.Commits = c.Commits[:min(len(c.Commits), list)]
	c.Count, c.Records, c.End = c.Count+o.Count, c.Records+o.Records, max(c.End, o.End)
}

// Made tells that the file of a relation was made in this log, whatever another
// server has under its number.
func (c WALContent) Made(n RelNumber) bool { return c.Created[RelNumber{0, n.Database, n.Number}] }

// relationsEach bounds what is kept of one transaction.
const relationsEach = 20

// openMost bounds the transactions without an end that are kept in mind.
const openMost = 100000

// ReadWAL lets pg_waldump read the log of a timeline in a directory, from a position
// to the end of what is there or, unless 0, to until. It lists the first commits. The
// error may come with what was found before it.
func (in *Instance) ReadWAL(ctx context.Context, dir string, on pair.Timeline, from, until pair.LSN, list int) (WALContent, error) {
	r := walReader{list: list, open: map[uint32]*Commit{}, prepared: map[uint32]Commit{}, WALContent: WALContent{Created: map[RelNumber]bool{}}}
	args := []string{"--path=" + dir, fmt.Sprintf("--timeline=%d", on), "--start=" + from.String()}
	last, end := in.lastSegment(dir, on)
	switch {
	case until == 0 && end > from:
		// Told of no end, it waits five seconds for the segment after the last one
		// (WALDumpOpenSegment in pg_waldump.c, 13 to 18).
		args = append(args, "--end="+end.String())
	case until != 0:
		// Only ends of transactions are asked for: their relations do not matter.
		args = append(args, "--end="+until.String(), "--rmgr=Transaction")
	}
	err := in.waldump(ctx, r.line, args...)
	r.finish()
	if err != nil && !natural(err, last) {
		return r.WALContent, fmt.Errorf("read log: %w", err)
	}
	return r.WALContent, nil
}

// waldump runs pg_waldump. Times come in UTC.
func (in *Instance) waldump(ctx context.Context, line func(string), args ...string) error {
	if _, err := os.Stat(in.program("pg_waldump")); err != nil {
		return ErrNoWaldump
	}
	return in.runWith(ctx, []string{"TZ=UTC"}, line, "pg_waldump", args...)
}

var missing = regexp.MustCompile(`could not (?:find|open) file "(?:[^"]*/)?([0-9A-F]{24})"`)

// natural: log that ends is an error to pg_waldump, which exits with 1 (13 to 18).
func natural(err error, last string) bool {
	text := err.Error()
	if m := missing.FindStringSubmatch(text); m != nil {
		return last != "" && m[1] > last
	}
	return strings.Contains(text, "in WAL record at") || strings.Contains(text, "could not find a valid record after")
}

// lastSegment is the name of the last file with log of the timeline, and where that ends.
func (in *Instance) lastSegment(dir string, on pair.Timeline) (last string, end pair.LSN) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		m := segmentName.FindStringSubmatch(e.Name())
		if m == nil || pair.Timeline(number(m[1])) != on {
			continue
		}
		if s, err := readSegment(filepath.Join(dir, e.Name()), m); err == nil && s.End != 0 {
			last, end = max(last, e.Name()), max(end, s.End)
		}
	}
	return last, end
}

// walReader makes transactions of the lines of pg_waldump.
type walReader struct {
	WALContent
	list     int
	open     map[uint32]*Commit // by xid, also of subtransactions
	prepared map[uint32]Commit
}

// finish counts what was prepared and not committed: clients were told of that too.
func (r *walReader) finish() {
	var left []Commit
	for _, c := range r.prepared {
		left = append(left, c)
	}
	slices.SortFunc(left, func(a, b Commit) int { return int(a.XID) - int(b.XID) })
	for _, c := range left {
		r.add(c)
	}
}

func (r *walReader) add(c Commit) {
	r.Count++
	if len(r.Commits) < r.list {
		r.Commits = append(r.Commits, c)
	}
}

// line reads one record, such as
//
//	rmgr: Heap len (rec/tot): 61/ 61, tx: 729, lsn: 0/01526CD8, prev …, desc: INSERT off 7 …, blkref #0: rel 1663/5/16384 blk 0
func (r *walReader) line(line string) {
	head, desc, ok := strings.Cut(line, ", desc: ")
	if !ok || !strings.HasPrefix(head, "rmgr: ") {
		return
	}
	xid, err1 := strconv.ParseUint(field(head, ", tx:"), 10, 32)
	lsn, err2 := pair.ParseLSN(field(head, ", lsn:"))
	if err1 != nil || err2 != nil {
		return
	}
	length := strings.TrimSpace(field(head, "len (rec/tot):"))
	record, total, _ := strings.Cut(length, "/")
	n, err := strconv.ParseUint(strings.TrimSpace(total), 10, 32)
	if err != nil {
		n, _ = strconv.ParseUint(strings.TrimSpace(record), 10, 32)
	}
	r.Records++
	r.End = lsn + pair.LSN(n+7)&^7
	switch strings.Fields(head)[1] {
	case "Transaction":
		r.transaction(uint32(xid), lsn, desc)
	case "Storage":
		if m := created.FindStringSubmatch(desc); m != nil {
			r.Created[RelNumber{0, natural32(m[1]), natural32(m[2])}] = true
		}
	default:
		r.touched(uint32(xid), desc)
	}
}

// field is the text behind a name, to the next comma.
func field(s, name string) string {
	_, rest, _ := strings.Cut(s, name)
	value, _, _ := strings.Cut(rest, ",")
	return strings.TrimSpace(value)
}

var (
	created  = regexp.MustCompile(`^CREATE (?:base|.*)/(\d+)/(\d+)`)
	touches  = regexp.MustCompile(`rel (\d+)/(\d+)/(\d+)`)
	ended    = regexp.MustCompile(`^(COMMIT|PREPARE|COMMIT_PREPARED|ABORT|ABORT_PREPARED)\b ?(?:(?:gid .*: )|(?:(?:xid )?(\d+): ))?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC`)
	subxacts = regexp.MustCompile(`; subxacts:((?: \d+)+)`)
)

func natural32(digits string) uint32 {
	n, _ := strconv.ParseUint(digits, 10, 32) // the pattern lets nothing else in
	return uint32(n)
}

func (r *walReader) of(xid uint32) *Commit {
	c := r.open[xid]
	if c == nil {
		c = &Commit{XID: xid}
		if len(r.open) < openMost {
			r.open[xid] = c
		}
	}
	return c
}

func (r *walReader) touched(xid uint32, desc string) {
	at := strings.Index(desc, "blkref #")
	if xid == 0 || at < 0 {
		return
	}
	c := r.of(xid)
	for _, m := range touches.FindAllStringSubmatch(desc[at:], -1) {
		c.touch(RelNumber{natural32(m[1]), natural32(m[2]), natural32(m[3])})
	}
}

func (c *Commit) touch(rel RelNumber) {
	switch {
	case slices.Contains(c.Relations, rel):
	case len(c.Relations) >= relationsEach:
		c.More = true
	default:
		c.Relations = append(c.Relations, rel)
	}
}

// transaction notes the end of one, or that it was prepared for it.
func (r *walReader) transaction(xid uint32, lsn pair.LSN, desc string) {
	m := ended.FindStringSubmatch(desc)
	if m == nil {
		return
	}
	if m[2] != "" {
		xid = natural32(m[2])
	}
	c := *r.of(xid)
	if known, was := r.prepared[xid]; was {
		c = known
	}
	delete(r.open, xid)
	delete(r.prepared, xid)
	if s := subxacts.FindStringSubmatch(desc); s != nil {
		for _, sub := range strings.Fields(s[1]) {
			r.merge(&c, natural32(sub))
		}
	}
	c.XID, c.LSN, c.End, c.Prepared = xid, lsn, r.End, m[1] == "PREPARE"
	c.At, _ = time.Parse("2006-01-02 15:04:05.999999", m[3])
	switch {
	case xid == 0 || strings.HasPrefix(m[1], "ABORT"):
	case c.Prepared:
		r.prepared[xid] = c
	default:
		r.add(c)
	}
}

func (r *walReader) merge(into *Commit, sub uint32) {
	from := r.open[sub]
	if from == nil {
		return
	}
	delete(r.open, sub)
	for _, rel := range from.Relations {
		into.touch(rel)
	}
	into.More = into.More || from.More
}
