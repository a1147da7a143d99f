package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// arbiterKeys are the keys of the table [arbiter] that say which arbiter it is, in the
// order in which they are written. fencing_delay says how it is used, and is kept.
var arbiterKeys = []string{"kind", "address", "etcd.endpoints", "etcd.prefix", "etcd.ca", "etcd.certificate", "etcd.key", "etcd.username", "etcd.password_file"}

// ArbiterKeys are keys below "arbiter." for WithArbiter and ArbiterTOML: what is not empty,
// as TOML writes it.
func ArbiterKeys(kind string, texts map[string]string, endpoints []string) map[string]string {
	keys := map[string]string{"kind": strconv.Quote(kind)}
	for key, value := range texts {
		if value != "" {
			keys[key] = strconv.Quote(value)
		}
	}
	var members []string
	for _, e := range endpoints {
		members = append(members, strconv.Quote(e))
	}
	if members != nil {
		keys["etcd.endpoints"] = "[" + strings.Join(members, ", ") + "]"
	}
	return keys
}

// ArbiterTOML is the tables [arbiter] and, if it has any of these keys, [arbiter.etcd].
func ArbiterTOML(want map[string]string) string {
	text := "[arbiter]\n" + assignments("", want, nil)
	if etcd := assignments("etcd.", want, nil); etcd != "" {
		text += "\n[arbiter.etcd]\n" + etcd
	}
	return text
}

// WithArbiter is the text of a pair.toml with another arbiter: its keys below
// "arbiter.", with their values as TOML writes them. Keys of the old arbiter that the
// new one lacks go, or say nothing where a comment stands behind them; every other byte
// stays.
func WithArbiter(text string, want map[string]string) (string, error) {
	tables, err := scanTables(text)
	if err != nil {
		return "", err
	}
	var edits []textEdit
	edits = append(edits, tables["arbiter"].rewrite("", want)...)
	edits = append(edits, tables["arbiter.etcd"].rewrite("etcd.", want)...)
	if of := tables["arbiter"]; of == nil {
		return "", errors.New("it has no table [arbiter]; write one as in mcdir-example, then try again")
	} else if missing := assignments("etcd.", want, nil); missing != "" && tables["arbiter.etcd"] == nil {
		edits = append(edits, textEdit{of.end, of.end, "\n[arbiter.etcd]\n" + missing})
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if key != "fencing_delay" && !slices.Contains(arbiterKeys, key) {
			return "", fmt.Errorf("arbiter.%s is not a key of pair.toml", key)
		}
	}
	return applyEdits(text, edits), nil
}

// ReplaceArbiter is WithArbiter, proven: the text that comes of it is read, and differs
// from the old one in the arbiter only.
func ReplaceArbiter(dir, pairText, serverText string, want map[string]string) (next *Config, text string, err error) {
	now, err := Check(dir, pairText, serverText)
	if err != nil {
		return nil, "", err
	}
	if text, err = WithArbiter(pairText, want); err != nil {
		return nil, "", fmt.Errorf("edit %s: %w", PairFile, err)
	}
	if next, err = Check(dir, text, serverText); err != nil {
		return nil, "", err
	}
	mixed := now.Pair
	mixed.Arbiter = next.Pair.Arbiter
	if !reflect.DeepEqual(mixed, next.Pair) {
		return nil, "", fmt.Errorf("edit %s: more than the arbiter would change; write the arbiter as the tables [arbiter] and [arbiter.etcd], as in mcdir-example", PairFile)
	}
	return next, text, nil
}

// Same reports whether two are the same arbiter, reached in the same way.
func (a *ArbiterOf) Same(b *ArbiterOf) bool {
	x, y := *a, *b
	x.FencingDelay, y.FencingDelay = Duration{}, Duration{}
	if x.Kind != Etcd && y.Kind != Etcd {
		x.Etcd, y.Etcd = EtcdOf{}, EtcdOf{} // a prefix says nothing without etcd
	}
	return reflect.DeepEqual(x, y)
}

// String is the arbiter in words that tell it from any other.
func (a *ArbiterOf) String() string {
	switch a.Kind {
	case Etcd:
		return string(a.Kind) + " at " + a.Where() + " below " + a.Etcd.Prefix
	case Witness:
		return string(a.Kind) + " at " + a.Address
	}
	return string(a.Kind)
}

// textEdit puts text in place of what is between two offsets.
type textEdit struct {
	from, to int
	text     string
}

func applyEdits(text string, edits []textEdit) string {
	slices.SortStableFunc(edits, func(a, b textEdit) int { return a.from - b.from })
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(text[at:e.from] + e.text)
		at = e.to
	}
	return b.String() + text[at:]
}

// rewrite gives a table the wanted values. t is nil for a table that is not there.
func (t *table) rewrite(prefix string, want map[string]string) (edits []textEdit) {
	if t == nil {
		return nil
	}
	var have []string
	empty := t.bare
	for _, k := range t.keys {
		name := prefix + k.name
		value, wanted := want[name]
		have = append(have, name)
		switch {
		case wanted:
			empty = false
			edits = append(edits, textEdit{k.value, k.valueEnd, value})
		case slices.Contains(arbiterKeys, name) && k.commented:
			edits = append(edits, textEdit{k.value, k.valueEnd, nothing(name)})
			empty = false
		case slices.Contains(arbiterKeys, name):
			edits = append(edits, textEdit{k.line, k.lineEnd, ""})
		}
	}
	if missing := assignments(prefix, want, have); missing != "" {
		edits = append(edits, textEdit{t.end, t.end, missing})
	} else if empty && prefix != "" {
		edits = append(edits, textEdit{t.begin, t.header, ""}) // nothing is left in it
	}
	return edits
}

// nothing is the value of a key that says nothing.
func nothing(key string) string {
	switch key {
	case "etcd.endpoints":
		return "[]"
	case "etcd.prefix":
		return fmt.Sprintf("%q", defaultPrefix)
	}
	return `""`
}

// assignments are the lines of those wanted keys below prefix that are missing.
func assignments(prefix string, want map[string]string, have []string) string {
	var b strings.Builder
	for _, name := range append(slices.Clone(arbiterKeys), "fencing_delay") {
		short, below := strings.CutPrefix(name, prefix)
		if value, wanted := want[name]; wanted && below && !strings.Contains(short, ".") && !slices.Contains(have, name) {
			fmt.Fprintf(&b, "%s = %s\n", short, value)
		}
	}
	return b.String()
}
