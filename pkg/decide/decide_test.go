package decide

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"testing"
)

func TestEveryInputKeepsThePromises(t *testing.T) {
	all := everyInput()
	if all.wrong != "" {
		t.Error(all.wrong)
	}
	for i, by := range all.broken {
		if by != "" {
			t.Errorf("%s: broken by %s", promises[i].name, by)
		}
	}
}

func TestNoRuleIsDead(t *testing.T) {
	used := everyInput().used
	for i, r := range Rules {
		if used>>i&1 == 0 {
			t.Errorf("rule %d never decides", r.ID)
		}
	}
}

// TestEveryRuleIsNeeded leaves out one rule at a time: then a promise is broken, or some
// input finds no rule. So what the table does is promised in words, and not by its rows alone.
func TestEveryRuleIsNeeded(t *testing.T) {
	needed := everyInput().needed
	for i, r := range Rules {
		if needed[i] == "" {
			t.Errorf("without rule %d (%s: %s) no promise is broken", r.ID, r.Do, r.Why)
		}
	}
}

func TestRulesAreWellFormed(t *testing.T) {
	last := 0
	for _, r := range Rules {
		if r.ID <= last {
			t.Errorf("rule %d stands after %d", r.ID, last)
		}
		last = r.ID
		if r.Why == "" || r.Do == "" {
			t.Errorf("rule %d lacks its action or its reason", r.ID)
		}
	}
}

// TestReasons compares the reason, not only the answer.
func TestReasons(t *testing.T) {
	serving := Facts{Record: RecordMine, Mode: Paired, Postgres: PostgresOpen, PeerPG: PeerPGStandby, Stream: StreamClose}
	following := Facts{Record: RecordTheirs, Mode: Paired, Postgres: PostgresStandby, PeerPG: PeerPGOpen, Stream: StreamClose}
	with := func(f Facts, change func(*Facts)) Facts { change(&f); return f }
	for _, c := range []struct {
		name string
		f    Facts
		rule int
	}{
		{"all is well on the primary", serving, 290},
		{"all is well on the standby", following, 390},
		{"primary's postmaster died", with(serving, func(f *Facts) { f.Postgres, f.Data, f.Stream = PostgresDown, DataCrashed, StreamNone }), 216},
		{"primary's data is gone", with(serving, func(f *Facts) { f.Postgres, f.Data, f.Stream = PostgresDown, DataBroken, StreamNone }), 219},
		{"primary's data is gone, and it is alone", with(serving, func(f *Facts) { f.Mode, f.Postgres, f.Data, f.Stream = Alone, PostgresDown, DataBroken, StreamNone }), 220},
		{"primary stopped by pg_ctl behind our back", with(serving, func(f *Facts) { f.Postgres, f.Data, f.Stream = PostgresDown, DataClean, StreamNone }), 228},
		{"both processes of the primary's server are dead", with(following, func(f *Facts) { f.Peer, f.PeerPG, f.Stream = PeerRefused, PeerPGDown, StreamNone }), 310},
		{"the primary's server is silent", with(following, func(f *Facts) { f.Peer, f.PeerPG = PeerLost, PeerPGSilent }), 312},
		{"only the primary's supervisor is missing", with(following, func(f *Facts) { f.Peer = PeerRefused }), 390},
		{"standby's PostgreSQL down", with(serving, func(f *Facts) { f.PeerPG, f.Stream = PeerPGDown, StreamNone }), 253},
		{"commits wait", with(serving, func(f *Facts) { f.Stall = Stalled }), 256},
		{"commits wait, and the standby's word is needed", with(serving, func(f *Facts) { f.Stall, f.Leave = Stalled, LeaveNeeded }), 255},
		{"the standby's server is silent and not fenced", with(serving, func(f *Facts) { f.Peer, f.PeerPG, f.Leave = PeerLost, PeerPGSilent, LeaveNeeded }), 247},
		{"the primary's server is silent and not fenced", with(following, func(f *Facts) { f.Peer, f.PeerPG, f.Leave = PeerLost, PeerPGSilent, LeaveNeeded }), 309},
		{"the primary's server is silent and may not be fenced", with(following, func(f *Facts) { f.Peer, f.PeerPG, f.Leave = PeerLost, PeerPGSilent, LeaveDenied }), 390},
		{"standby attached", with(serving, func(f *Facts) { f.Mode = Alone }), 262},
		{"the standby was lost again and again", with(serving, func(f *Facts) { f.Mode, f.Stream = Alone, StreamSettling }), 290},
		{"a pledge is kept at once", with(serving, func(f *Facts) { f.Mode = Pledged }), 262},
		{"the disk is nearly full", with(serving, func(f *Facts) { f.Disk = DiskFilling }), 218},
		{"the disk is nearly full, alone", with(serving, func(f *Facts) { f.Mode, f.Disk, f.Attach = Alone, DiskFilling, AttachHeld }), 290},
		{"the disk is nearly full, failover off", with(serving, func(f *Facts) { f.Disk, f.Failover = DiskFilling, FailoverOff }), 290},
		{"PostgreSQL died on its full disk", with(serving, func(f *Facts) {
			f.Postgres, f.Data, f.Disk, f.Stream = PostgresDown, DataCrashed, DiskFilling, StreamNone
		}), 216},
		{"an operator asks for a switch", with(serving, func(f *Facts) { f.Task = TaskSwitch }), 205},
		{"a switch is asked for, and PostgreSQL freezes", with(serving, func(f *Facts) { f.Task, f.Postgres = TaskSwitch, PostgresHung }), 212},
		{"a switch is asked for, and the disk fails", with(serving, func(f *Facts) { f.Task, f.Disk = TaskSwitch, DiskFailed }), 210},
		{"a switch is asked for, and commits wait", with(serving, func(f *Facts) { f.Task, f.Stall = TaskSwitch, Stalled }), 256},
		{"a switch is asked for, and the standby dies", with(serving, func(f *Facts) { f.Task, f.Peer, f.PeerPG = TaskSwitch, PeerRefused, PeerPGDown }), 252},
		{"the disk is nearly full, and commits wait", with(serving, func(f *Facts) { f.Disk, f.Stall = DiskFilling, Stalled }), 256},
		{"standby held off", with(serving, func(f *Facts) { f.Mode, f.Attach = Alone, AttachHeld }), 290},
		{"cut off from everybody", with(serving, func(f *Facts) { f.Keeper, f.Peer, f.PeerPG = KeeperIsolated, PeerLost, PeerPGSilent }), 240},
		{"the other took over meanwhile", with(serving, func(f *Facts) { f.Record = RecordTheirs }), 301},
		{"the other took over while this one still recovers from its crash", with(serving, func(f *Facts) {
			f.Record, f.Mode, f.Postgres, f.Data, f.Stream = RecordTheirs, Alone, PostgresStarting, DataCrashed, StreamNone
		}), 302},
		{"a standby starts", with(following, func(f *Facts) { f.Postgres, f.Stream = PostgresStarting, StreamNone }), 390},
		{"an operator asks for a rebuild while paired: the primary goes alone first", with(following, func(f *Facts) { f.Task = TaskRebuild }), 390},
		{"a rebuild of a lone primary's standby", with(following, func(f *Facts) { f.Task, f.Mode = TaskRebuild, Alone }), 307},
		{"the primary dies before the rebuild has begun", with(following, func(f *Facts) { f.Task, f.Peer, f.PeerPG = TaskRebuild, PeerRefused, PeerPGDown }), 310},
		{"back after a failover, on a disk that hangs", with(following, func(f *Facts) { f.Mode, f.Postgres, f.Data, f.Disk = Alone, PostgresDown, DataCrashed, DiskFailed }), 313},
		{"back after a failover, when the disk works again", with(following, func(f *Facts) { f.Mode, f.Postgres, f.Data = Alone, PostgresDown, DataCrashed }), 316},
		{"the primary's log has gone", with(following, func(f *Facts) { f.Mode, f.Stream = Alone, StreamStranded }), 319},
		{"the primary's log has gone that a standby needs to start", with(following, func(f *Facts) { f.Mode, f.Postgres, f.Stream = Alone, PostgresStarting, StreamStranded }), 319},
		{"nobody has been asked yet", Facts{}, 110},
		{"the keeper is away and PostgreSQL died, the standby is here", Facts{Record: RecordClaimed, Mode: Paired, Keeper: KeeperUnreached, Data: DataCrashed, PeerPG: PeerPGStandby}, 105},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Decide(c.f); got.ID != c.rule {
				t.Errorf("rule %d decided (%s), want %d", got.ID, got.Why, c.rule)
			}
		})
	}
}

func TestMissesNamesTheFirstFieldThatFieldsShows(t *testing.T) {
	f := Facts{Record: RecordMine, Mode: Paired, Postgres: PostgresOpen}
	for _, r := range Rules {
		first := ""
		for _, field := range r.When.Fields(f) {
			if !field.Match {
				first = field.Name
				break
			}
		}
		if got := r.When.Misses(f); got != first {
			t.Errorf("rule %d: Misses says %q, Fields says %q", r.ID, got, first)
		}
	}
}

// The walk of every input tries the values that have a name: one without would be left out.
func TestNamesAreWhole(t *testing.T) {
	declared := valuesInSource(t)
	for i, field := range reflect.VisibleFields(reflect.TypeFor[Facts]()) {
		name := field.Type.Name()
		if tried := len(factsOfRules()[i]); tried != declared[name] || tried < 2 {
			t.Errorf("facts.go declares %d values of %s, and %d have a name", declared[name], name, tried)
		}
	}
	if s := Peer(200).String(); s != "?200" {
		t.Errorf("an unknown value prints as %q", s)
	}
}

// valuesInSource counts the constants of each type in facts.go: in every group the first
// one names the type.
func valuesInSource(t *testing.T) map[string]int {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "facts.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]int{}
	for _, d := range file.Decls {
		group, is := d.(*ast.GenDecl)
		if !is || group.Tok != token.CONST {
			continue
		}
		of := group.Specs[0].(*ast.ValueSpec).Type.(*ast.Ident).Name
		for _, spec := range group.Specs {
			values[of] += len(spec.(*ast.ValueSpec).Names)
		}
	}
	return values
}
