package config

import (
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Value is a key with the value in force and where that comes from.
type Value struct {
	File string `json:"file"` // of which it is a key, such as pair.toml
	Key  string `json:"key"`
	// Value is as the file would have it, strings in quotes.
	Value string `json:"value"`
	// Source is file:line, "profile NAME", "default", or "from data_directory" and the
	// like for a path that follows from another key.
	Source string `json:"source"`
}

// Origins lists every key of a management directory, a server's or an arbiter's, with
// its value in force and where it comes from. Its error is that of Load.
func Origins(dir string) ([]Value, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find management directory %s: %w", dir, err)
	}
	if IsArbiter(dir) {
		a, err := LoadArbiter(dir)
		if err != nil {
			return nil, err
		}
		at, raw := open(a.Path(ArbiterFile)), DefaultArbiter()
		at.fill(&raw)
		return at.values(ArbiterFile, *a, ""), nil
	}
	c, err := Load(dir)
	if err != nil {
		return nil, err
	}
	raw := Defaults()
	pairs, server := open(c.Path(PairFile)), open(c.Path(ServerFile))
	pairs.fill(&raw.Pair)
	server.fill(&raw.Server)
	return append(pairs.values(PairFile, c.Pair, c.Pair.Timings.Profile), server.values(ServerFile, c.Server, "")...), nil
}

// PairValues lists the keys of a pair.toml whose text is at hand, as Origins does.
func PairValues(text string) ([]Value, error) {
	p, err := ReadPair(text)
	if err != nil {
		return nil, err
	}
	at, raw := parse(PairFile, text), defaultPair()
	at.fill(&raw) // for the lines
	return at.values(PairFile, *p, p.Timings.Profile), nil
}

// ReadPair reads and checks a pair.toml whose text is at hand.
func ReadPair(text string) (*Pair, error) {
	p, at := defaultPair(), parse(PairFile, text)
	p.Timings = at.profile()
	at.fill(&p)
	p.check(at)
	if err := at.err(); err != nil {
		return nil, err
	}
	return &p, nil
}

// IsArbiter tells whether the management directory is an arbiter's.
func IsArbiter(dir string) bool { return has(dir, ArbiterFile) }

// IsServer tells whether the management directory is a server's: one of its two files
// may be missing while they are mended.
func IsServer(dir string) bool { return has(dir, ServerFile) || has(dir, PairFile) }

// has tells of a file that is there. So may be one that cannot be looked at.
func has(dir, file string) bool {
	_, err := os.Stat(filepath.Join(dir, file))
	return !errors.Is(err, fs.ErrNotExist)
}

func (s *source) values(file string, v any, profile string) (all []Value) {
	for _, l := range leaves("", reflect.ValueOf(v)) {
		value := Value{File: file, Key: l.key, Value: l.text, Source: "default"}
		switch follows := derived(l.key); {
		case s.has(l.key) && (follows == "" || !s.isEmpty(l.key)):
			value.Source = s.path + ":" + strconv.Itoa(s.lines[l.key])
		case follows != "":
			value.Source = "from " + follows
		case profile != "" && parent(l.key) == "timings" && l.key != "timings.profile":
			value.Source = "profile " + profile
		}
		all = append(all, value)
	}
	return all
}

// derived is the key that a path follows from when it is left empty.
func derived(key string) string {
	switch key {
	case "config_file", "hba_file", "ident_file":
		return "data_directory"
	case "log_file":
		return "the management directory"
	}
	return ""
}

// isEmpty tells whether a key at the top is there with an empty string.
func (s *source) isEmpty(key string) bool {
	var text string
	return s.md.PrimitiveDecode(s.tree[key], &text) == nil && text == ""
}

// leaf is a key without keys below it.
type leaf struct{ key, text string }

// leaves lists the keys of a struct in the order of its fields.
func leaves(table string, v reflect.Value) (all []leaf) {
	for i := range v.NumField() {
		tag, field := tagOf(v.Type().Field(i)), v.Field(i)
		if tag == "" {
			continue
		}
		key := table + tag
		_, isText := field.Interface().(encoding.TextMarshaler)
		switch {
		case isText:
			all = append(all, leaf{key, textOf(field)})
		case field.Kind() == reflect.Struct:
			all = append(all, leaves(key+".", field)...)
		case field.Kind() == reflect.Map:
			names := field.MapKeys()
			slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
			for _, name := range names {
				all = append(all, leaves(dotted(key, name.String())+".", field.MapIndex(name))...)
			}
		default:
			all = append(all, leaf{key, textOf(field)})
		}
	}
	return all
}

func textOf(v reflect.Value) string {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		if err != nil {
			return err.Error()
		}
		return strconv.Quote(string(b))
	}
	switch v.Kind() {
	case reflect.String:
		return strconv.Quote(v.String())
	case reflect.Slice:
		var items []string
		for i := range v.Len() {
			items = append(items, textOf(v.Index(i)))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}
