// Package lost holds what a server knows of transactions that it had to discard: a
// report for each divergence of histories, with the saved log beside it. It reads,
// writes and prunes them below one directory, and prints them. What was lost is found
// out by package act, which also decides when; mcctl events show reads it.
package lost

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"mcctl/pkg/pair"
)

// Acknowledged tells whether clients can have been told that what is lost was committed.
type Acknowledged string

const (
	// Never: the reign passed from a paired record, so that no commit in the tail had its
	// answer; those that asked for less, or were cancelled while they waited, excepted.
	Never Acknowledged = "never"
	// Maybe: the server acknowledged by itself, or nobody can tell.
	Maybe Acknowledged = "maybe"
)

// Report is what was beyond the point where the histories part.
type Report struct {
	ID     string      `json:"id"`
	Made   time.Time   `json:"made"`
	Server pair.Server `json:"server"` // whose log it was
	Kept   pair.Server `json:"kept"`   // whose history goes on
	Term   pair.Term   `json:"term"`   // under which that one reigns
	Way    string      `json:"way"`    // how the server came back: rewind, copy, command
	// Timeline and From are where the histories part; Until is the end of the log.
	Timeline pair.Timeline `json:"timeline"`
	From     pair.LSN      `json:"from"`
	Until    pair.LSN      `json:"until"`

	// Known: the log was read, so that Transactions is a number. Complete: to its end.
	Known        bool          `json:"known"`
	Complete     bool          `json:"complete"`
	Note         string        `json:"note,omitempty"`
	Transactions int           `json:"transactions"`
	Acknowledged Acknowledged  `json:"acknowledged"`
	Why          string        `json:"why"`
	List         []Transaction `json:"list"` // the first of them

	// Segments are the saved files of the log, beside the report; NotSaved says why there
	// are none.
	Segments []string `json:"segments"`
	NotSaved string   `json:"not_saved,omitempty"`
	// Source tells whether the log in the data directory is still the one reported on.
	Source string `json:"source"`

	// Directory and Command are filled in when it is read: where it lies, and how to
	// look at all that was saved.
	Directory string   `json:"directory,omitempty"`
	Commands  []string `json:"commands,omitempty"`
	Seen      bool     `json:"seen"`
}

// Transaction is one that was committed here.
type Transaction struct {
	XID       uint32     `json:"xid"`
	Committed time.Time  `json:"committed"`
	LSN       pair.LSN   `json:"lsn"`                // of its commit record
	Prepared  bool       `json:"prepared,omitempty"` // by PREPARE TRANSACTION, with no end yet
	Relations []Relation `json:"relations"`
	More      bool       `json:"more_relations,omitempty"`
}

// Relation is what a transaction wrote to. The numbers are those in the log; the name
// is the one that the other server has for them.
type Relation struct {
	Tablespace uint32 `json:"tablespace"`
	Database   uint32 `json:"database"`
	Number     uint32 `json:"number"`
	Name       string `json:"name,omitempty"`
	// Created: its file was made in what is lost, so that the other server knows it not.
	Created bool `json:"created,omitempty"`
}

func (r Relation) String() string {
	switch {
	case r.Name != "":
		return r.Name
	case r.Created:
		return fmt.Sprintf("%d/%d/%d (made here)", r.Tablespace, r.Database, r.Number)
	}
	return fmt.Sprintf("%d/%d/%d", r.Tablespace, r.Database, r.Number)
}

// Line says it in one.
func (r Report) Line() string {
	count := "an unknown number of transactions"
	if r.Known {
		count = fmt.Sprintf("%d transaction%s", r.Transactions, plural(r.Transactions))
		if !r.Complete {
			count = "at least " + count
		}
	}
	told := "never acknowledged"
	if r.Acknowledged == Maybe {
		told = "may have been acknowledged"
	}
	where := "mcctl events show " + r.ID
	if r.ID == "" {
		where = "the report could not be written"
	}
	return fmt.Sprintf("%s of %s discarded beyond %s on timeline %d, %s: %s", count, r.Server, r.From, r.Timeline, told, where)
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// shown is how many transactions the text names.
const shown = 50

// Text writes the report for people.
func (r Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.Line())
	fmt.Fprintf(&b, "made            %s, before %s came back by %s under %s (term %d)\n", r.Made.Format(time.RFC3339), r.Server, r.Way, r.Kept, r.Term)
	fmt.Fprintf(&b, "log             timeline %d, from %s to %s\n", r.Timeline, r.From, r.Until)
	fmt.Fprintf(&b, "acknowledged    %s: %s\n", r.Acknowledged, r.Why)
	if r.Note != "" {
		fmt.Fprintf(&b, "note            %s\n", r.Note)
	}
	r.transactions(&b)
	r.whatToDo(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) transactions(b *strings.Builder) {
	if len(r.List) == 0 {
		return
	}
	b.WriteString("\nXID         COMMITTED                   LSN           RELATIONS\n")
	for _, t := range r.List[:min(len(r.List), shown)] {
		names := make([]string, 0, len(t.Relations))
		for _, rel := range t.Relations {
			names = append(names, legible(rel.String()))
		}
		what := strings.Join(names, ", ")
		if what == "" {
			what = "none"
		}
		if t.More {
			what += ", and more"
		}
		if t.Prepared {
			what += "; prepared, not committed"
		}
		fmt.Fprintf(b, "%-10d  %s  %-12s  %s\n", t.XID, t.Committed.UTC().Format("2006-01-02 15:04:05.000000"), t.LSN, what)
	}
	if n := r.Transactions - shown; n > 0 {
		fmt.Fprintf(b, "and %d more; -o json lists up to %d\n", n, Listed)
	}
}

// legible is a name in one line and without what steers a terminal, which a name may have.
func legible(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

func (r Report) whatToDo(b *strings.Builder) {
	if r.NotSaved != "" {
		fmt.Fprintf(b, "\nThe log itself was not saved: %s.\n", r.NotSaved)
		return
	}
	fmt.Fprintf(b, "\nThe log is saved in %s. All that was in it:\n\n", r.Directory)
	for _, c := range r.Commands {
		fmt.Fprintf(b, "  %s\n", c)
	}
	b.WriteString(`
It tells which rows were written where, but not their values in words. To get rows back,
ask the application first: what was never acknowledged it has sent again or given up.
Else recover a base backup of before the fork in a directory of its own, with these
files as its archive and recovery_target_timeline of the old timeline, and copy the
rows from there (docs/lost.md).
`)
}

// Of makes one line of the list. What it wrote to comes once by each name, and
// catalogs only if there was nothing else.
func Of(xid uint32, at time.Time, lsn pair.LSN, prepared, more bool, all []Relation) Transaction {
	t := Transaction{XID: xid, Committed: at, LSN: lsn, Prepared: prepared, More: more, Relations: []Relation{}}
	catalogs := t
	seen := map[string]bool{}
	for _, r := range all {
		if seen[r.String()] {
			continue
		}
		seen[r.String()] = true
		// Numbers below 16384 are given by initdb (FirstNormalObjectId, 13 to 18).
		if strings.HasPrefix(r.Name, "pg_catalog.") || r.Name == "" && r.Number < 16384 {
			catalogs.Relations = append(catalogs.Relations, r)
			continue
		}
		t.Relations = append(t.Relations, r)
	}
	if len(t.Relations) == 0 {
		return catalogs
	}
	return t
}
