package act

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/lost"
	"mcctl/pkg/postgres"
)

// lostPatience bounds the reading of log that will be discarded: the pair is without a
// standby meanwhile.
const lostPatience = time.Minute

// Lost is where this server keeps its reports of what it discarded.
func (h *Hands) Lost() lost.Store { return LostOf(h.Config) }

// LostOf is the same for whoever has only the configuration.
func LostOf(c *config.Config) lost.Store {
	return lost.Store{Dir: c.Path("lost"), Waldump: filepath.Join(c.Server.BinDirectory, "pg_waldump")}
}

// ShowLost puts what was discarded, and not marked as seen, on the board.
func (h *Hands) ShowLost() {
	line := ""
	if r, found := h.Lost().Newest(); found {
		line = r.Line()
	}
	if h.Board.Read().Discarded != line {
		h.Board.Note(func(s *board.Sight) { s.Discarded = line })
	}
}

// reportLost looks, before the data directory is rewound or replaced, at the log that
// is here only. If transactions were committed in it, or nobody can tell, it is saved
// and reported. Nothing is changed but in the reports' directory, so that whoever is
// killed in between begins again and finds the same. A data directory that is half
// rewound was reported on before that began. The log can be read without pg_control.
func (h *Hands) reportLost(ctx context.Context, w way, at standing) error {
	if at.empty || at.broken || at.follows() {
		return nil
	}
	h.progress("looking at what will be discarded")
	r, tail, err := h.findLost(ctx, w, at)
	if ctx.Err() != nil { // what was found may be a part
		return context.Cause(ctx)
	}
	if err != nil && h.Config.Policy().LostWAL == config.RequireLost {
		return fmt.Errorf("nothing is discarded before it was looked at (policy.lost_wal): %w", err)
	}
	if err != nil {
		h.Log.Warn("what is discarded was not looked at", "error", err)
		return nil
	}
	if len(tail.Segments) == 0 || r.Known && r.Complete && r.Transactions == 0 {
		return nil
	}
	if r, err = h.saveLost(r, tail); err != nil {
		return err
	}
	h.tellLost(r)
	return nil
}

// findLost reads the log that the other server's history lacks. A report that was made
// of the same log is found again.
func (h *Hands) findLost(ctx context.Context, w way, at standing) (r lost.Report, tail postgres.Tail, err error) {
	var forks []postgres.Fork
	for _, f := range at.history.Forks {
		forks = append(forks, postgres.Fork(f))
	}
	tail, err = h.Postgres.TailBeyond(forks, at.history.Timeline, at.history.Insert)
	if err != nil || len(tail.Segments) == 0 {
		return r, tail, err
	}
	was, again := h.Lost().Of(tail.Timeline, tail.From)
	if again && was.Source == tail.Stamp() && was.NotSaved == "" {
		return was, tail, nil
	}
	r = lost.Report{
		ID:   fmt.Sprintf("%s-%d-%s", time.Now().UTC().Format("20060102-150405"), tail.Timeline, lsnName(tail)),
		Made: time.Now().UTC(), Server: h.me(), Kept: h.other(), Term: at.history.Record.Term, Way: w.name,
		Timeline: tail.Timeline, From: tail.From, Until: tail.End(), Source: tail.Stamp(),
	}
	if again {
		r.ID = was.ID // never two for one divergence
	}
	r.Acknowledged, r.Why = h.acknowledged(at)
	h.readLost(ctx, &r, tail)
	return r, tail, nil
}

func lsnName(t postgres.Tail) string {
	return fmt.Sprintf("%X_%X", uint32(t.From>>32), uint32(t.From))
}

// acknowledged tells whether clients can have been told of commits in the tail. A reign
// that nobody forced passed from a paired record: then the old primary could not
// acknowledge what the new one lacks.
func (h *Hands) acknowledged(at standing) (lost.Acknowledged, string) {
	switch r := at.history.Record; {
	case r.Forced:
		return lost.Maybe, fmt.Sprintf("%s took the reign by force (term %d), whatever %s had acknowledged by itself", h.other(), r.Term, h.me())
	case at.unread != nil:
		return lost.Maybe, fmt.Sprintf("what this server was cannot be told: %v", at.unread)
	case at.history.Timeline <= at.lastOn:
		return lost.Maybe, fmt.Sprintf("%s did not take over from what is here (it is on timeline %d, this server on %d): one of the two was restored from an old copy", h.other(), at.history.Timeline, at.lastOn)
	case at.asStandby:
		return lost.Maybe, fmt.Sprintf("this server was a standby and received log that %s does not have any more", h.other())
	}
	return lost.Never, fmt.Sprintf("the pair was paired when %s took over, so commits here still waited for it; excepted are those that were cancelled while they waited, or asked for less (synchronous_commit)", h.other())
}

// readLost lets pg_waldump say what was in the log.
func (h *Hands) readLost(ctx context.Context, r *lost.Report, tail postgres.Tail) {
	bounded, cancel := context.WithTimeoutCause(ctx, lostPatience, fmt.Errorf("it took more than %s", lostPatience))
	defer cancel()
	var content postgres.WALContent
	from := tail.From
	for _, on := range tail.Timelines() {
		if begin := tail.Begin(on); begin > from {
			r.Note = fmt.Sprintf("PostgreSQL has removed the log from %s to %s here: what was committed there is not known", from, begin)
			from = begin
		}
		part, err := h.Postgres.ReadWAL(bounded, filepath.Dir(tail.Segments[0].Path), on, from, 0, lost.Listed)
		content.Add(part, lost.Listed)
		if err != nil {
			r.Note = strings.TrimPrefix(r.Note+"; the log could not be read to its end: "+firstLine(err), "; ")
			r.Known = !errors.Is(err, postgres.ErrNoWaldump)
			break
		}
		r.Known, r.Complete, from = true, true, part.End
	}
	r.Complete = r.Complete && r.Note == ""
	if content.End != 0 {
		r.Until = content.End
	}
	r.Transactions = content.Count
	naming, done := h.bounded(ctx)
	defer done()
	h.nameLost(naming, r, content)
}

// nameLost lists the transactions with the names that the other server has for what
// they wrote to.
func (h *Hands) nameLost(ctx context.Context, r *lost.Report, content postgres.WALContent) {
	var numbers []postgres.RelNumber
	known := map[postgres.RelNumber]bool{}
	for _, c := range content.Commits {
		for _, n := range c.Relations {
			if !known[n] && !content.Made(n) {
				known[n] = true
				numbers = append(numbers, n)
			}
		}
	}
	var names map[postgres.RelNumber]string
	if len(numbers) > 0 {
		var err error
		if names, err = h.copySource().RelationNames(ctx, numbers); err != nil {
			h.Log.Info("not all relations in what is discarded have names", "error", err)
		}
	}
	for _, c := range content.Commits {
		r.List = append(r.List, lost.Of(c.XID, c.At, c.LSN, c.Prepared, c.More, relations(c, content, names)))
	}
}

func relations(c postgres.Commit, content postgres.WALContent, names map[postgres.RelNumber]string) (all []lost.Relation) {
	for _, n := range c.Relations {
		all = append(all, lost.Relation{Tablespace: n.Tablespace, Database: n.Database, Number: n.Number, Name: names[n], Created: content.Made(n)})
	}
	return all
}

// saveLost writes the report, with the log if the policy wants that and there is room.
func (h *Hands) saveLost(r lost.Report, tail postgres.Tail) (lost.Report, error) {
	policy, store := h.Config.Policy(), h.Lost()
	if was, err := store.Get(r.ID); err == nil && was.Source == r.Source && was.NotSaved == "" {
		return was, nil
	}
	files := lost.Files{Bytes: tail.Bytes(), Most: int64(policy.LostWALMax)}
	var refused error
	if policy.LostWAL == config.ReportLost {
		r.NotSaved = "policy.lost_wal is report"
	} else if refused = store.Room(files); refused == nil {
		for _, s := range tail.Segments {
			files.Paths = append(files.Paths, s.Path)
			r.Segments = append(r.Segments, filepath.Base(s.Path))
		}
		saved, err := store.Save(r, files)
		if err == nil {
			h.pruneLost()
			return saved, nil
		}
		refused, r.Segments = err, nil
	}
	if refused != nil {
		r.NotSaved = refused.Error()
	}
	if policy.LostWAL == config.RequireLost {
		return r, fmt.Errorf("nothing is discarded before it was saved (policy.lost_wal): %w; make room, or set policy.lost_wal = \"save\"", refused)
	}
	saved, err := store.Save(r, lost.Files{})
	if err != nil { // the log and the journal say it
		h.Log.Warn("the report of what is discarded was not saved", "error", err)
		r.ID = ""
		return r, nil
	}
	h.pruneLost()
	return saved, nil
}

// pruneLost keeps the reports within their bounds. What it cannot delete is in nobody's way.
func (h *Hands) pruneLost() {
	if err := h.Lost().Prune(h.Config.Policy().LostReports, int64(h.Config.Policy().LostWALMax)); err != nil {
		h.Log.Warn("old reports of what was discarded were not deleted", "error", err)
	}
}

// tellLost puts the report into the events, once.
func (h *Hands) tellLost(r lost.Report) {
	h.ShowLost()
	if h.Discarded != nil {
		h.Discarded(r)
	}
}
