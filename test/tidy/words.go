package tidy

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
)

// Documented wants a comment on every exported name that another package can see.
// A comment on a group of constants or variables covers the group, and that on a
// type its constants.
func Documented(files []*File) (found []Finding) {
	for _, f := range files {
		if f.Test() || f.Room() == "test" || f.AST.Name.Name == "main" || f.Generated() {
			continue
		}
		for _, d := range f.AST.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && d.Name.IsExported() && !obvious(d) {
					found = append(found, f.at(d.Pos(), "exported %s has no comment; say what it means, its units and its errors", d.Name.Name))
				}
			case *ast.GenDecl:
				found = append(found, f.undocumented(d)...)
			}
		}
	}
	return found
}

// obvious are methods whose meaning is fixed by the standard library, and methods
// of types that nobody else can name.
func obvious(fn *ast.FuncDecl) bool {
	if fn.Recv == nil {
		return false
	}
	switch fn.Name.Name {
	case "String", "Error", "Unwrap", "Is", "As", "MarshalText", "UnmarshalText", "MarshalJSON", "UnmarshalJSON", "Len", "Less", "Swap":
		return true
	}
	return !ast.IsExported(receiver(fn.Recv.List[0].Type))
}

func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

func (f *File) undocumented(d *ast.GenDecl) (found []Finding) {
	if d.Tok == token.IMPORT || d.Doc != nil {
		return nil
	}
	previous := false // the line before in the group is covered, and so is this one
	for _, spec := range d.Specs {
		var names []*ast.Ident
		var has bool
		switch s := spec.(type) {
		case *ast.TypeSpec:
			names, has = []*ast.Ident{s.Name}, s.Doc != nil || s.Comment != nil
		case *ast.ValueSpec:
			names, has = s.Names, s.Doc != nil || s.Comment != nil || previous || d.Tok == token.CONST && s.Type != nil
			previous = has
		}
		for _, n := range names {
			if n.IsExported() && !has {
				found = append(found, f.at(n.Pos(), "exported %s has no comment; say what it means", n.Name))
			}
		}
	}
	return found
}

// Leftovers refuses marks of unfinished work: it is done, or it is an issue.
func Leftovers(files []*File) (found []Finding) {
	// Written in pieces, or this file would find itself.
	mark := regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"}, "|") + `)\b`)
	for _, f := range files {
		for i, text := range strings.Split(f.Text, "\n") {
			if word := mark.FindString(text); word != "" {
				found = append(found, f.line(i+1, "%s: finish it or write an issue", word))
			}
		}
	}
	return found
}

// FreshErrors wants errors in lower case and without a full stop, since they are
// read in the middle of a line.
func FreshErrors(files []*File) (found []Finding) {
	for _, f := range files {
		if f.Test() || f.Room() == "test" {
			continue
		}
		for _, pkg := range []string{"errors", "fmt"} {
			f.errorTexts(pkg, func(lit *ast.BasicLit) {
				text := strings.Trim(lit.Value, "\"`")
				if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "!") || capital(text) {
					found = append(found, f.at(lit.Pos(), "error %s: begin in lower case, end without a full stop", lit.Value))
				}
			})
		}
	}
	return found
}

// errorTexts visits the literal first arguments of errors.New and fmt.Errorf.
func (f *File) errorTexts(pkg string, visit func(*ast.BasicLit)) {
	ast.Inspect(f.AST, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "New" && sel.Sel.Name != "Errorf" {
			return true
		}
		id, ok := sel.X.(*ast.Ident)
		lit, isLit := call.Args[0].(*ast.BasicLit)
		if ok && isLit && id.Name == pkg && lit.Kind == token.STRING {
			visit(lit)
		}
		return true
	})
}

// capital tells an ordinary word with a capital from a name such as PostgreSQL,
// WAL or TLS, which keeps its own.
func capital(s string) bool {
	word, _, _ := strings.Cut(s, " ")
	return len(word) > 1 && word[0] >= 'A' && word[0] <= 'Z' && word[1:] == strings.ToLower(word[1:])
}
