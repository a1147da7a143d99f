// Package settings knows the few lines of PostgreSQL's configuration that mcctl
// manages, and what they must be in each role and mode. It is pure: package
// observe compares the files with it, package act writes what it wants.
//
// postgresql.conf is their home. An occurrence in postgresql.auto.conf (ALTER
// SYSTEM, pg_basebackup -R) would override it silently, so it is commented out.
package settings

import (
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

// Files are the two files that can hold a managed setting.
type Files struct {
	Conf *pgconf.File // postgresql.conf, wherever it lives
	Auto *pgconf.File // postgresql.auto.conf, read after it
}

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
func (w Wanted) Hold(f Files) bool {
	for _, l := range w.lines() {
		_, auto := f.Auto.Get(l.name)
		value, active := f.Conf.Get(l.name)
		if auto || active != l.active || (active && value != l.value) {
			return false
		}
	}
	return true
}

// Write makes the files say it, touching nothing else.
func (w Wanted) Write(f Files) {
	for _, l := range w.lines() {
		f.Auto.CommentOut(l.name)
		if l.active {
			f.Conf.Set(l.name, l.value)
		} else {
			f.Conf.CommentOut(l.name)
		}
	}
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
