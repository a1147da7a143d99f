package tidy

import (
	"go/ast"
	"slices"
	"strings"
)

// clockRooms may read the clock or wait. Everywhere else time is passed in, so
// that it can be simulated.
func clockRooms() []string {
	return []string{"clock", "durable", "hook", "agent", "observe", "act", "witness", "arbiter", "wire", "postgres", "disk", "probe", "lab", "cli", "cmd", "test"}
}

// goRooms may start goroutines; each of them knows who waits for its end.
func goRooms() []string {
	return []string{"agent", "witness", "wire", "arbiter", "postgres", "disk", "probe", "lab", "cli", "test"}
}

func clockCalls() []string {
	return []string{"Now", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Since", "Until"}
}

// Clocks keeps the wall clock and sleeping out of everything but the processes
// and the edges.
func Clocks(files []*File) (found []Finding) {
	for _, f := range files {
		if f.Test() || slices.Contains(clockRooms(), f.Room()) {
			continue
		}
		f.selectors("time", func(sel *ast.SelectorExpr) {
			if slices.Contains(clockCalls(), sel.Sel.Name) {
				found = append(found, f.at(sel.Pos(), "time.%s may not be used in %s; let the caller pass the time in", sel.Sel.Name, f.Room()))
			}
		})
	}
	return found
}

// selectors visits every use of an imported package, by whatever name it has in
// the file.
func (f *File) selectors(imported string, visit func(*ast.SelectorExpr)) {
	name := ""
	for _, spec := range f.AST.Imports {
		if spec.Path.Value == `"`+imported+`"` {
			name = imported[strings.LastIndexByte(imported, '/')+1:]
			if spec.Name != nil {
				name = spec.Name.Name
			}
		}
	}
	if name == "" {
		return
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == name {
				visit(sel)
			}
		}
		return true
	})
}

// Goroutines keeps "go" to the packages that own goroutines.
func Goroutines(files []*File) (found []Finding) {
	for _, f := range files {
		if f.Test() || slices.Contains(goRooms(), f.Room()) {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if stmt, ok := n.(*ast.GoStmt); ok {
				found = append(found, f.at(stmt.Pos(), "package %s may not start goroutines; return a function and let the agent run it", f.Room()))
			}
			return true
		})
	}
	return found
}

// NoInit refuses init functions: what runs must be seen to be called.
func NoInit(files []*File) (found []Finding) {
	for _, f := range files {
		for _, d := range f.AST.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, f.at(fn.Pos(), "init runs unseen; call a function from where it is needed"))
			}
		}
	}
	return found
}

// NoSkips refuses tests that pass by not running. A tool that is missing is an
// error that says what to install.
func NoSkips(files []*File) (found []Finding) {
	skips := []string{"Skip", "Skipf", "SkipNow"}
	for _, f := range files {
		if !f.Test() && f.Room() != "test" {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains(skips, sel.Sel.Name) {
				return true
			}
			if id, ok := sel.X.(*ast.Ident); ok && slices.Contains([]string{"t", "b", "f", "tb"}, id.Name) {
				found = append(found, f.at(call.Pos(), "%s.%s: a test must not be skipped; end it with Fatal, saying what to install", id.Name, sel.Sel.Name))
			}
			return true
		})
	}
	return found
}
