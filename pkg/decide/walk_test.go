package decide

import (
	"cmp"
	"fmt"
	"math/bits"
	"reflect"
	"strings"
	"sync"
)

// everyInput tries every combination of facts once, for all tests that need it.
// There are so many that asking Decide each time would take a minute. So the walk
// goes down fact by fact and keeps, as bits, the rules that match so far: the last
// fact costs one AND, and the lowest bit left is the rule that decides. Nothing is
// left out, and inputs taken at regular steps are put to Decide itself as well.
var everyInput = sync.OnceValue(func() found {
	if len(Rules) > 64 {
		panic("decide: more rules than bits: give the walk a second word")
	}
	facts := factsOfRules()
	var walks []*walk
	var wg sync.WaitGroup
	for task, ofTask := range facts[0] {
		for record, ofRecord := range facts[1] {
			w := &walk{facts: facts, f: Facts{Task: Task(task), Record: Record(record)}, found: nothingFound()}
			w.fields = fieldsOf(&w.f)
			walks = append(walks, w)
			wg.Go(func() { w.down(2, ofTask&ofRecord) })
		}
	}
	wg.Wait()
	all := nothingFound()
	for _, w := range walks {
		all.add(w.found)
	}
	return all
})

// factsOfRules holds, for each fact and each of its values, the rules whose
// pattern lets the fact have it: bit i is Rules[i].
func factsOfRules() (facts [][]uint64) {
	var f Facts
	for i, field := range fieldsOf(&f) {
		var values []uint64
		for v := uint64(0); ; v++ {
			field.SetUint(v)
			if strings.HasPrefix(When{}.Fields(f)[i].Value, "?") {
				break // beyond the last value that has a name
			}
			values = append(values, matching(func(r Rule) bool { return r.When.Fields(f)[i].Match }))
		}
		facts = append(facts, values)
	}
	return facts
}

func fieldsOf(f *Facts) (fields []reflect.Value) {
	for _, v := range reflect.ValueOf(f).Elem().Fields() {
		fields = append(fields, v)
	}
	return fields
}

func matching(is func(Rule) bool) (rules uint64) {
	for i, r := range Rules {
		if is(r) {
			rules |= 1 << i
		}
	}
	return rules
}

// found is what the inputs showed.
type found struct {
	inputs int
	used   uint64   // the rules that decided
	before []uint64 // for each of them, all that match some input it decides
	broken []string // for each promise, the first input that breaks it
	needed []string // for each rule, what goes wrong first where it is left out
	wrong  string   // the first input that no rule decides, or Decide and the walk see differently
}

func nothingFound() found {
	return found{before: make([]uint64, len(Rules)), broken: make([]string, len(promises)), needed: make([]string, len(Rules))}
}

func (a *found) add(b found) {
	a.inputs += b.inputs
	a.used |= b.used
	for i := range a.before {
		a.before[i] |= b.before[i]
	}
	for i := range a.broken {
		a.broken[i] = cmp.Or(a.broken[i], b.broken[i])
	}
	for i := range a.needed {
		a.needed[i] = cmp.Or(a.needed[i], b.needed[i])
	}
	a.wrong = cmp.Or(a.wrong, b.wrong)
}

// walk is one goroutine's way through its share of the inputs.
type walk struct {
	facts  [][]uint64
	f      Facts
	fields []reflect.Value // those of f
	found
}

// down varies the facts from the given one on; rules are those that match so far.
func (w *walk) down(fact int, rules uint64) {
	if fact == len(w.facts) {
		w.try(rules)
		return
	}
	for v, ofValue := range w.facts[fact] {
		w.fields[fact].SetUint(uint64(v))
		w.down(fact+1, rules&ofValue)
	}
}

func (w *walk) try(rules uint64) {
	w.inputs++
	if rules == 0 {
		if w.wrong == "" {
			w.wrong = fmt.Sprintf("no rule for %+v", w.f)
		}
		return
	}
	// The step is a prime beyond the number of any fact's values: it meets them all.
	if w.inputs%101 == 0 {
		w.compare(rules)
	}
	first := bits.TrailingZeros64(rules)
	w.used |= 1 << first
	w.before[first] |= rules
	for i := range promises {
		if !promises[i].kept(&w.f, Rules[first].Do) && w.broken[i] == "" {
			w.broken[i] = fmt.Sprintf("rule %d (%s) for %+v", Rules[first].ID, Rules[first].Do, w.f)
		}
	}
	if w.needed[first] == "" {
		w.needed[first] = w.without(rules & (rules - 1))
	}
}

// without is what goes wrong here where the rule that decides is left out, so that the
// first of those left decides.
func (w *walk) without(left uint64) string {
	if left == 0 {
		return fmt.Sprintf("no rule for %+v", w.f)
	}
	instead := Rules[bits.TrailingZeros64(left)]
	for _, p := range promises {
		if !p.kept(&w.f, instead.Do) {
			return fmt.Sprintf("%q is broken by rule %d (%s) for %+v", p.name, instead.ID, instead.Do, w.f)
		}
	}
	return ""
}

// compare puts the input to Decide, and to each rule by itself.
func (w *walk) compare(rules uint64) {
	decided := Decide(w.f).ID
	really := matching(func(r Rule) bool { return r.When.Misses(w.f) == "" })
	if first := Rules[bits.TrailingZeros64(rules)].ID; w.wrong == "" && (first != decided || rules != really) {
		w.wrong = fmt.Sprintf("the walk finds rule %d and Decide rule %d for %+v (all that match: %b and %b)", first, decided, w.f, rules, really)
	}
}
