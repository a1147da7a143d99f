package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// summary is what becomes of the samples of one kind: a cell of a table.
type summary struct {
	Subject string  `json:"subject"`
	Profile string  `json:"profile"`
	Event   string  `json:"event"`
	Value   string  `json:"value"` // its name, which ends in the unit
	Runs    int     `json:"runs"`
	Median  float64 `json:"median"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	// ToFloor is the median in relation to that of bare PostgreSQL in the same run;
	// 0 where there is none to compare with.
	ToFloor float64 `json:"to_floor,omitempty"`
}

// total is what all samples together say about safety.
type total struct {
	Runs    int    `json:"runs"`
	Failed  int    `json:"failed"`
	Acked   uint64 `json:"acknowledged"`
	Lost    uint64 `json:"lost"`
	Doubled uint64 `json:"doubled"`
	Ghosts  int    `json:"acknowledged_by_a_replaced_server"`
	Overlap int    `json:"runs_with_two_primaries"`
}

// summarise makes a summary of each value of each event.
func summarise(all []sample) []summary {
	groups := map[summary][]float64{} // the key has names only
	var order []summary
	for _, s := range all {
		for name, v := range s.Values {
			key := summary{Subject: s.Subject, Profile: s.Profile, Event: s.Event, Value: name}
			if groups[key] == nil {
				order = append(order, key)
			}
			groups[key] = append(groups[key], v)
		}
	}
	slices.SortFunc(order, func(a, b summary) int { return strings.Compare(a.id(), b.id()) })
	for i, key := range order {
		values := groups[key]
		slices.Sort(values)
		order[i].Runs, order[i].Median, order[i].Min, order[i].Max = len(values), median(values), values[0], values[len(values)-1]
	}
	compare(order)
	return order
}

// ofPeer: it is about another tool.
func (s summary) ofPeer() bool { return s.Subject != ours && s.Subject != bareFloor }

func (s summary) id() string {
	return strings.Join([]string{s.Subject, s.Profile, s.Event, s.Value}, " ")
}

// median of sorted values; between the two in the middle of an even number.
func median(v []float64) float64 { return (v[(len(v)-1)/2] + v[len(v)/2]) / 2 }

// compare fills in the relations to the floor.
func compare(all []summary) {
	for i, s := range all {
		for _, e := range events() {
			if s.Subject != ours || s.Event != e.name || s.Value != "gap_ms" || e.floor == "" {
				continue
			}
			if f, ok := find(all, bareFloor, s.Profile, string(e.floor), s.Value); ok && f.Median > 0 {
				all[i].ToFloor = s.Median / f.Median
			}
		}
	}
}

func find(all []summary, subject, profile, event, value string) (summary, bool) {
	i := slices.IndexFunc(all, func(s summary) bool {
		return s.Subject == subject && s.Profile == profile && s.Event == event && s.Value == value
	})
	if i < 0 {
		return summary{}, false
	}
	return all[i], true
}

// add sums up what clients were promised and what became of it, for one subject.
func sumUp(all []sample, subject string) (t total) {
	for _, s := range all {
		if s.Subject != subject || s.Acked == 0 && s.Error == "" {
			continue
		}
		t.Runs++
		if s.Error != "" {
			t.Failed++
		}
		if s.Overlap {
			t.Overlap++
		}
		t.Acked, t.Lost, t.Doubled, t.Ghosts = t.Acked+s.Acked, t.Lost+s.Lost, t.Doubled+s.Doubled, t.Ghosts+s.Ghosts
	}
	return t
}

// verdict is an error if mcctl ever broke its promise.
func verdict(all []sample) error {
	t := sumUp(all, ours)
	if t.Lost+t.Doubled == 0 && t.Ghosts == 0 && t.Overlap == 0 {
		return nil
	}
	return fmt.Errorf("a promise was broken, please report it: %d acknowledged rows lost, %d doubled, %d acknowledged by a server that had been replaced, %d runs with two primaries",
		t.Lost, t.Doubled, t.Ghosts, t.Overlap)
}

// cell is the summary in a table: median and spread.
func (s summary) cell() string {
	if s.Runs == 1 {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Min), number(s.Max))
}

// number has three digits that count, or all before the point.
func number(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
