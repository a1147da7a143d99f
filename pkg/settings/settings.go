// Package settings knows the few lines of PostgreSQL's configuration that mcctl
// manages, and what they must be in each role and mode. It is pure: package
// observe compares the files with it, package act writes what it wants.
//
// postgresql.conf and what it includes is their home: the line that counts, the last
// one, is the one that is edited. An occurrence in postgresql.auto.conf (ALTER
// SYSTEM, pg_basebackup -R) would override it silently, so it is commented out.
package settings

import (
	"fmt"

	"mcctl/pkg/pair"
	"mcctl/pkg/pgconf"
)

// Names of the managed settings.
const (
	SyncNames = "synchronous_standby_names"
	SyncSlots = "synchronized_standby_slots" // PostgreSQL 17 and newer
	Conninfo  = "primary_conninfo"
	SlotName  = "primary_slot_name"
)

// Wanted is what the managed settings must be.
type Wanted struct {
	Other pair.Server
	// Wait: commits wait for the other server. A standby has it too: promoted
	// behind our back it could then acknowledge nothing.
	Wait bool
	// Slots: also manage synchronized_standby_slots.
	Slots bool
	// Upstream is a standby's primary_conninfo; empty for a primary, whose
	// recovery settings mean nothing and are left as they are.
	Upstream string
	Slot     string
}

// Slot is the name of the physical slot that a standby streams from.
func Slot(standby pair.Server) string { return "mcctl_" + string(standby) }

// Hold reports whether the files already say what is wanted.
func (w Wanted) Hold(t *pgconf.Tree) bool { return len(w.Faults(t)) == 0 }

// Fault is a managed setting that is not what it must be.
type Fault struct {
	Name string
	// Place is the line in the way as file:line; empty when a line is missing.
	Place string
	Says  string
	Wants string // empty: that nothing sets it
	// Override: it stands in postgresql.auto.conf and wins over postgresql.conf.
	Override bool
}

// String says what is wrong, with the place. A connection string is not shown: the
// site's may hold a password.
func (f Fault) String() string {
	says, wants := pgconf.Quote(f.Says), "is to be "+pgconf.Quote(f.Wants)
	if f.Name == Conninfo {
		says, wants = "something else", "is to lead to the other server"
	}
	if f.Wants == "" {
		wants = "is to be out of use"
	}
	switch {
	case f.Place == "":
		return fmt.Sprintf("%s is not set and %s", f.Name, wants)
	case f.Override:
		return fmt.Sprintf("%s: ALTER SYSTEM has set %s to %s, which would win over postgresql.conf", f.Place, f.Name, says)
	}
	return fmt.Sprintf("%s: %s says %s and %s", f.Place, f.Name, says, wants)
}

// Faults lists what has to change for the files to say what is wanted.
func (w Wanted) Faults(t *pgconf.Tree) (faults []Fault) {
	for _, l := range w.lines() {
		var home *pgconf.Occurrence // the line that counts beside ALTER SYSTEM's
		for _, o := range t.All(l.name) {
			if o.Auto || !l.active {
				faults = append(faults, l.fault(o))
			}
			if !o.Auto {
				home = &o
			}
		}
		switch {
		case !l.active:
		case home == nil:
			faults = append(faults, Fault{Name: l.name, Wants: l.value})
		case home.Value != l.value:
			faults = append(faults, l.fault(*home))
		}
	}
	return faults
}

// Write makes the files say it, touching nothing else.
func (w Wanted) Write(t *pgconf.Tree) {
	for _, l := range w.lines() {
		if l.active {
			t.Set(l.name, l.value)
		} else {
			t.CommentOut(l.name)
		}
	}
}

// Values is what the running server must have for each managed setting, by name;
// empty where nothing sets it, since that is the default of all of them.
func (w Wanted) Values() map[string]string {
	values := map[string]string{}
	for _, l := range w.lines() {
		values[l.name] = ""
		if l.active {
			values[l.name] = l.value
		}
	}
	return values
}

// Names lists the managed settings.
func (w Wanted) Names() (names []string) {
	for _, l := range w.lines() {
		names = append(names, l.name)
	}
	return names
}

// Managed lists what mcctl changes on a server in one role or the other.
func Managed(slots bool) []string {
	names := []string{SyncNames}
	if slots {
		names = append(names, SyncSlots)
	}
	return append(names, Conninfo, SlotName)
}

type line struct {
	name, value string
	active      bool
}

func (w Wanted) lines() []line {
	ls := []line{{SyncNames, string(w.Other), w.Wait}}
	if w.Slots {
		ls = append(ls, line{SyncSlots, Slot(w.Other), w.Wait})
	}
	if w.Upstream != "" {
		ls = append(ls, line{Conninfo, w.Upstream, true}, line{SlotName, w.Slot, true})
	}
	return ls
}

func (l line) fault(o pgconf.Occurrence) Fault {
	f := Fault{Name: l.name, Place: o.Place(), Says: o.Value, Override: o.Auto}
	if l.active {
		f.Wants = l.value
	}
	return f
}
