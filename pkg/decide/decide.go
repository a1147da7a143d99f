package decide

import "fmt"

// Decide returns the first rule that matches. Every combination of facts has one
// (TestEveryInputKeepsThePromises).
func Decide(f Facts) Rule {
	for _, r := range Rules {
		if r.When.Misses(f) == "" {
			return r
		}
	}
	panic(fmt.Sprintf("decide: no rule for %+v", f))
}

// When is the pattern of a rule. The empty set stands for any value.
type When struct {
	Task     set[Task]
	Record   set[Record]
	Mode     set[Mode]
	Keeper   set[Keeper]
	Postgres set[Postgres]
	Data     set[Data]
	Settings set[Settings]
	Disk     set[Disk]
	Peer     set[Peer]
	PeerPG   set[PeerPG]
	Stream   set[Stream]
	Stall    set[Stall]
	Failover set[Failover]
	Attach   set[AttachWish]
	Leave    set[Leave]
}

type set[T ~uint8] uint16

func is[T ~uint8](values ...T) (s set[T]) {
	for _, v := range values {
		s |= 1 << v
	}
	return s
}

func (s set[T]) has(v T) bool { return s == 0 || s>>v&1 == 1 }

// Field is one fact beside what a rule asks of it.
type Field struct {
	Name  string // as in docs and in the output of mcctl explain
	Value string // the fact
	Wants string // "" for any
	Match bool
}

func field[T interface {
	~uint8
	fmt.Stringer
}](name string, s set[T], v T,
) Field {
	wants := ""
	for i := T(0); i < 16; i++ {
		if s>>i&1 == 1 {
			if wants != "" {
				wants += " or "
			}
			wants += i.String()
		}
	}
	return Field{name, v.String(), wants, s.has(v)}
}

// Fields sets every fact beside what the pattern asks of it, in the table's order.
func (w When) Fields(f Facts) []Field {
	return []Field{
		field("task", w.Task, f.Task),
		field("record", w.Record, f.Record),
		field("mode", w.Mode, f.Mode),
		field("keeper", w.Keeper, f.Keeper),
		field("postgres", w.Postgres, f.Postgres),
		field("data", w.Data, f.Data),
		field("settings", w.Settings, f.Settings),
		field("disk", w.Disk, f.Disk),
		field("peer", w.Peer, f.Peer),
		field("peer-postgres", w.PeerPG, f.PeerPG),
		field("stream", w.Stream, f.Stream),
		field("stall", w.Stall, f.Stall),
		field("failover", w.Failover, f.Failover),
		field("attach", w.Attach, f.Attach),
		field("leave", w.Leave, f.Leave),
	}
}

// Misses is the name of the first fact that keeps the pattern from matching, or "".
func (w When) Misses(f Facts) string {
	switch {
	case !w.Task.has(f.Task):
		return "task"
	case !w.Record.has(f.Record):
		return "record"
	case !w.Mode.has(f.Mode):
		return "mode"
	case !w.Keeper.has(f.Keeper):
		return "keeper"
	case !w.Postgres.has(f.Postgres):
		return "postgres"
	case !w.Data.has(f.Data):
		return "data"
	case !w.Settings.has(f.Settings):
		return "settings"
	case !w.Disk.has(f.Disk):
		return "disk"
	case !w.Peer.has(f.Peer):
		return "peer"
	case !w.PeerPG.has(f.PeerPG):
		return "peer-postgres"
	case !w.Stream.has(f.Stream):
		return "stream"
	case !w.Stall.has(f.Stall):
		return "stall"
	case !w.Failover.has(f.Failover):
		return "failover"
	case !w.Attach.has(f.Attach):
		return "attach"
	case !w.Leave.has(f.Leave):
		return "leave"
	}
	return ""
}
