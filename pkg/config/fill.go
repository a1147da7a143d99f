package config

import (
	"encoding"
	"errors"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

// profile is the timings that the file starts from, before its own keys are read.
// A profile that does not exist is told when the timings are checked.
func (s *source) profile() Timings {
	var peek struct {
		Timings struct {
			Profile string `toml:"profile"`
		} `toml:"timings"`
	}
	// A wrong type is told by fill, with its line.
	_, _ = toml.Decode(s.text, &peek)
	if t, known := Profile(peek.Timings.Profile); known {
		return t
	}
	return defaultTimings()
}

// fill puts the file's values into the struct that v points to. Keys that are not
// in the file leave their fields as they are.
func (s *source) fill(v any) {
	if s.broken {
		return
	}
	root := reflect.ValueOf(v).Elem()
	s.root = root.Type()
	s.fillTable("", s.tree, root)
}

func (s *source) fillTable(name string, tree map[string]toml.Primitive, v reflect.Value) {
	for key, value := range tree {
		full := dotted(name, key)
		s.lines[full] = s.lineOf(value)
		if field, known := fieldOf(v, key); known {
			s.fillValue(full, value, field)
		} else {
			s.add(full, full+": "+unknownKey(key, v.Type(), s.root))
		}
		s.lines[name] = firstLine(s.lines[name], s.lines[full])
	}
}

// fillMap is fillTable for a table whose keys the operator chooses.
func (s *source) fillMap(name string, tree map[string]toml.Primitive, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for key, value := range tree {
		full := dotted(name, key)
		s.lines[full] = s.lineOf(value)
		element := reflect.New(v.Type().Elem()).Elem()
		s.fillValue(full, value, element)
		v.SetMapIndex(reflect.ValueOf(key), element)
		s.lines[name] = firstLine(s.lines[name], s.lines[full])
	}
}

func (s *source) fillValue(key string, value toml.Primitive, field reflect.Value) {
	// The library leaves the map nil, without an error, when the value is no table.
	_, isText := field.Addr().Interface().(encoding.TextUnmarshaler)
	var tree map[string]toml.Primitive
	kind := field.Kind()
	if isText || kind != reflect.Struct && kind != reflect.Map {
		s.fillLeaf(key, value, field)
	} else if err := s.md.PrimitiveDecode(value, &tree); err != nil || tree == nil {
		s.complain(key, "must be a table, [%s], but is %s", key, s.kindOf(value))
	} else if kind == reflect.Map {
		s.fillMap(key, tree, field)
	} else {
		s.fillTable(key, tree, field)
	}
}

func (s *source) fillLeaf(key string, value toml.Primitive, field reflect.Value) {
	err := s.md.PrimitiveDecode(value, field.Addr().Interface())
	if bad := (toml.ParseError{}); errors.As(err, &bad) {
		s.complain(key, "%s", bad.Message) // from UnmarshalText
	} else if err != nil {
		s.complain(key, "must be %s, but is %s", wanted(field.Kind()), s.kindOf(value))
	}
}

// mark cannot be decoded into. The library then tells where the value stands,
// which it does in no other way.
type mark struct{}

func (*mark) UnmarshalTOML(any) error { return errors.New("marked") }

// lineOf is where the value stands, or 0 for a table that has no line of its own
// since only tables in it are written, as [servers] is in [servers.server1].
func (s *source) lineOf(value toml.Primitive) int {
	var at toml.ParseError
	errors.As(s.md.PrimitiveDecode(value, &mark{}), &at)
	return at.Position.Line
}

// firstLine is the smaller line, where 0 means none.
func firstLine(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func wanted(kind reflect.Kind) string {
	switch kind {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Slice:
		return `a list of strings, such as ["a", "b"]`
	}
	return "a string in quotes"
}

func (s *source) kindOf(value toml.Primitive) string {
	var v any
	_ = s.md.PrimitiveDecode(value, &v) // any takes every value
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "true or false"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "a list of tables"
	}
	return "a date or time"
}

// tagOf is the key of a field; "" for one that is not in the file.
func tagOf(f reflect.StructField) string { return strings.TrimPrefix(f.Tag.Get("toml"), "-") }

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if tag := tagOf(v.Type().Field(i)); tag != "" && tag == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}
