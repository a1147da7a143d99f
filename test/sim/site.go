package sim

import (
	"context"
	"errors"
	"strconv"

	"mcctl/pkg/act"
	"mcctl/pkg/settings"
)

// site is the configuration of a cluster and its gate (act.Site): the managed lines as
// one value. How they stand in files is not modelled.
type site struct{ instance }

func (s site) Edit(_ context.Context, w settings.Wanted) ([]settings.Fault, error) {
	s.p.enter()
	if s.failing || s.host.disk.full {
		return nil, errors.New("write postgresql.conf: input/output error")
	}
	if w.Upstream == "" { // a primary's recovery settings are left as they are
		w.Upstream, w.Slot = s.conf.Upstream, s.conf.Slot
	}
	if s.conf != w {
		s.conf = w
		s.edits++
	}
	return nil, nil
}

// Faults compares what a role asks for; a primary's recovery settings mean nothing.
func (s site) Faults(w settings.Wanted) (faults []settings.Fault, err error) {
	s.p.enter()
	if s.conf.Wait != w.Wait || s.conf.Slots != w.Slots {
		faults = append(faults, settings.Fault{Name: settings.SyncNames})
	}
	if w.Upstream != "" && (s.conf.Upstream != w.Upstream || s.conf.Slot != w.Slot) {
		faults = append(faults, settings.Fault{Name: settings.Conninfo})
	}
	return faults, nil
}

func (s site) Stamp() string {
	s.p.enter()
	return strconv.Itoa(s.edits)
}

func (s site) CloseGate() (act.Gate, error) {
	s.p.enter()
	if s.host.disk.failing {
		return act.Gate{}, errors.New("close gate: input/output error")
	}
	s.linkOpen, s.gateShut = false, true
	return act.Gate{HBAFile: "gate"}, nil
}

func (s site) TurnGate() error {
	s.p.enter()
	if s.host.disk.failing {
		return errors.New("turn gate: input/output error")
	}
	s.linkOpen = true
	return nil
}

func (s site) GateIsOpen(int) error {
	s.p.enter()
	if s.host.disk.failing {
		return errors.New("open gate: input/output error")
	}
	s.gateShut = false
	return nil
}

func (s site) Gated(pid int) bool {
	s.p.enter()
	return s.pm != nil && s.pm.pid == pid && s.pm.hba && s.gateShut
}
