package config

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mcctl/test/made"
)

// TestDocs keeps docs/config.md what the types say, with the defaults that they have.
func TestDocs(t *testing.T) {
	made.Part(t, "../../docs/config.md", "keys", newReference(t).write())
}

// reference makes the page from the types of this package: their comments, and the
// values of their defaults.
type reference struct {
	*testing.T
	types  map[string]*ast.TypeSpec
	docs   map[string]string    // of types, by name
	values map[string][]allowed // of the types that have a few values only
	text   strings.Builder
}

// allowed is one value of such a type.
type allowed struct{ value, doc string }

func newReference(t *testing.T) *reference {
	r := &reference{T: t, types: map[string]*ast.TypeSpec{}, docs: map[string]string{}, values: map[string][]allowed{}}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				r.collect(g)
			}
		}
	}
	return r
}

func (r *reference) collect(g *ast.GenDecl) {
	for _, spec := range g.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			r.types[spec.Name.Name] = spec
			r.docs[spec.Name.Name] = line(g.Doc)
		case *ast.ValueSpec:
			of, ok1 := spec.Type.(*ast.Ident)
			if !ok1 || len(spec.Values) != 1 {
				continue
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				value := constant.StringVal(constant.MakeFromLiteral(lit.Value, lit.Kind, 0))
				doc := regexp.MustCompile(`^\w+:? `).ReplaceAllString(line(spec.Doc), "")
				r.values[of.Name] = append(r.values[of.Name], allowed{value, strings.TrimSuffix(doc, ".")})
			}
		}
	}
}

// line is a comment in one line.
func line(doc *ast.CommentGroup) string { return strings.Join(strings.Fields(doc.Text()), " ") }

func (r *reference) write() string {
	pairs, server, arbiter := defaultPair(), defaultServer(), DefaultArbiter()
	r.file(PairFile, "the same on both servers", "server1", reflect.ValueOf(pairs))
	r.file(ServerFile, "of one server", "server1", reflect.ValueOf(server))
	r.file(ArbiterFile, "of a witness, on its own host", "arbiter", reflect.ValueOf(arbiter))
	return r.text.String()
}

func (r *reference) file(name, what, example string, v reflect.Value) {
	fmt.Fprintf(&r.text, "\n## %s: %s\n", name, what)
	r.table("", v, needed(r.T, example, name))
}

// table writes the keys of one table, and then the tables below it.
func (r *reference) table(path string, v reflect.Value, needed []string) {
	if path != "" {
		fmt.Fprintf(&r.text, "\n### [%s]\n\n%s\n", path, r.inKeys(v.Type(), strings.Replace(r.docs[v.Type().Name()], v.Type().Name(), "`["+path+"]`", 1)))
	}
	_, isTimings := v.Interface().(Timings)
	var below []func()
	r.text.WriteString("\n| key | kind | default | meaning |\n| --- | --- | --- | --- |\n")
	for i := range v.NumField() {
		f, key := v.Type().Field(i), tagOf(v.Type().Field(i))
		switch full := strings.TrimPrefix(path+"."+key, "."); {
		case key == "":
		case f.Type.Kind() == reflect.Map:
			below = append(below, func() { r.table(full+".NAME", reflect.Zero(f.Type.Elem()), needed) })
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Duration]() && f.Type != reflect.TypeFor[Share]():
			below = append(below, func() { r.table(full, v.Field(i), needed) })
		default:
			value := shown(v.Field(i))
			if slices.Contains(needed, full) {
				value = "must be written"
			} else if isTimings && key != "profile" {
				value += inTight(i, value)
			}
			fmt.Fprintf(&r.text, "| `%s` | %s | %s | %s |\n", key, kind(f.Type), value, r.meaning(v.Type(), i))
		}
	}
	for _, write := range below {
		write()
	}
}

// inTight is what the profile tight has for a timing, if that is another value.
func inTight(i int, value string) string {
	if tight := shown(reflect.ValueOf(tightTimings()).Field(i)); tight != value {
		return "; in `tight`: " + tight
	}
	return ""
}

func shown(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case Duration:
		return "`\"" + x.String() + "\"`"
	case Bytes:
		return "`\"" + x.String() + "\"`"
	case Share:
		return "`\"" + x.String() + "\"`"
	}
	switch {
	case v.Kind() == reflect.Slice:
		return "`" + strings.ReplaceAll(fmt.Sprintf("%q", v.Interface()), " ", ", ") + "`"
	case v.Kind() == reflect.String && v.Len() == 0:
		return "empty"
	case v.Kind() == reflect.String:
		return fmt.Sprintf("`%q`", v.String())
	}
	return fmt.Sprintf("`%v`", v.Interface())
}

func kind(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Duration]():
		return "time"
	case t == reflect.TypeFor[Bytes]():
		return "size"
	case t == reflect.TypeFor[Share]():
		return "share of a disk"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "number"
	case t.Kind() == reflect.Slice:
		return "list of strings"
	}
	return "string"
}

// meaning is the field's comment, or the one above that speaks of it.
func (r *reference) meaning(t reflect.Type, i int) string {
	for at := i; at >= 0; at-- {
		doc := r.fieldDoc(t, t.Field(at).Name)
		switch {
		case doc == "":
			continue
		case at == i:
			text := regexp.MustCompile("^`"+tagOf(t.Field(i))+"`(: | is | )").ReplaceAllString(r.inKeys(t, doc), "")
			return strings.ReplaceAll(text, "|", `\|`) + r.choices(t.Field(i).Type)
		case regexp.MustCompile(`\b` + t.Field(i).Name + `\b`).MatchString(doc):
			return "see `" + tagOf(t.Field(at)) + "`"
		}
		break
	}
	r.Errorf("%s.%s has no comment that says what its key means", t.Name(), t.Field(i).Name)
	return ""
}

func (r *reference) fieldDoc(t reflect.Type, name string) string {
	for _, f := range r.types[t.Name()].Type.(*ast.StructType).Fields.List {
		for _, n := range f.Names {
			if n.Name == name {
				return line(f.Doc)
			}
		}
	}
	return ""
}

// inKeys speaks of keys where the comment speaks of fields.
func (r *reference) inKeys(t reflect.Type, doc string) string {
	for i := range t.NumField() {
		f := t.Field(i)
		if key := tagOf(f); key != "" {
			doc = regexp.MustCompile(`(^|[^"\x60.\w])`+f.Name+`\b`).ReplaceAllString(doc, "$1`"+key+"`")
		}
	}
	return doc
}

// choices are the values that a key may have, if they are few.
func (r *reference) choices(t reflect.Type) string {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	text := ""
	for _, a := range r.values[t.Name()] {
		text += fmt.Sprintf(" `%q`: %s.", a.value, a.doc)
	}
	return text
}

// needed are the keys of an example's file without which Load refuses it.
func needed(t *testing.T, example, file string) (keys []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../mcdir-example", example, file))
	if err != nil {
		t.Fatal(err)
	}
	table, text := "", string(b)
	for one := range strings.Lines(text) {
		if strings.HasPrefix(one, "[") {
			table = strings.Trim(one, "[]\n") + "."
			continue
		}
		key, _, ok := strings.Cut(one, " = ")
		if !ok || strings.HasPrefix(one, "#") {
			continue
		}
		dir := copyExample(t, example)
		without := strings.Replace(text, one, "\n", 1)
		if table != "" { // the same line may stand in another table
			at := strings.Index(text, "["+strings.TrimSuffix(table, ".")+"]")
			without = text[:at] + strings.Replace(text[at:], one, "\n", 1)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(without), 0o600); err != nil {
			t.Fatal(err)
		}
		load := func() error { _, err := Load(dir); return err }
		if file == ArbiterFile {
			load = func() error { _, err := LoadArbiter(dir); return err }
		}
		if err := load(); err != nil && strings.Contains(err.Error(), table+key+": is missing") {
			keys = append(keys, strings.Replace(table, "servers.server1.", "servers.NAME.", 1)+key)
		}
	}
	return keys
}
