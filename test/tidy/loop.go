package tidy

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"slices"
)

// The deciding loop is agent.loop and what it calls in package agent, but for work that
// is handed to another goroutine. A disk that hangs must not hang what decides. Calls into
// other packages are not followed: those that lead to a disk are named here.

// diskRooms are the packages by which a disk is touched or waited for.
func diskRooms() []string {
	return []string{"os", "os/exec", "io/fs", "syscall", module + "pkg/postgres", module + "pkg/disk", module + "pkg/durable", module + "pkg/conffiles"}
}

// diskHands are the fields of the supervisor behind which PostgreSQL and the files are.
func diskHands() []string {
	return []string{"postgres", "server", "hands", "warm", "asked", "replay", "local", "files", "store", "own", "world", "looker"}
}

// inMemory are what those keep in memory, for the loop.
func inMemory() []string { return []string{"hands.Rebuilds"} }

// handsOver begin their arguments beside their caller.
func handsOver() []string { return []string{"background", "backgroundOnce", "begins", "After"} }

// DecidingLoop keeps the loop away from disks and from PostgreSQL: it goes by the board,
// and the runner works beside it. The board and the table call nothing of the kind either.
func DecidingLoop(files []*File) (found []Finding) {
	a := agentOf(files)
	queue, seen := a.loops(), map[types.Object]bool{}
	for len(queue) > 0 {
		fn := queue[0]
		queue = queue[1:]
		if b, ok := a.bodies[fn]; ok && !seen[fn] {
			seen[fn] = true
			calls, findings := a.walk(b)
			queue, found = append(queue, calls...), append(found, findings...)
		}
	}
	for _, f := range files {
		if !f.Test() && (f.Room() == "board" || f.Room() == "decide") {
			found = append(found, callsOf(f, diskRooms())...)
		}
	}
	return found
}

// callsOf finds the calls of those packages. To use their types is no call.
func callsOf(f *File, packages []string) (found []Finding) {
	theirs := map[ast.Expr]bool{}
	for _, name := range packages {
		f.selectors(name, func(sel *ast.SelectorExpr) { theirs[sel] = true })
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && theirs[call.Fun] {
			found = append(found, f.at(call.Pos(), "package %s serves the deciding loop, which touches no disk and asks no PostgreSQL; note on the board what it needs", f.Room()))
		}
		return true
	})
	return found
}

// agent is the package, with its own names resolved; nothing is known of what it imports.
type agent struct {
	info   types.Info
	bodies map[types.Object]body
}

type body struct {
	file *File
	decl *ast.FuncDecl
}

func agentOf(files []*File) agent {
	a := agent{types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}, map[types.Object]body{}}
	set := token.NewFileSet()
	var of []*File
	var asts []*ast.File
	for _, f := range files {
		if f.Dir() != "pkg/agent" || f.Test() {
			continue
		}
		if again, err := parse(set, f.Path, f.Text); err == nil {
			of, asts = append(of, again), append(asts, again.AST)
		}
	}
	// What it imports is not there, and every use of it an error: that is expected.
	config := types.Config{Importer: nothing{}, Error: func(error) {}}
	_, _ = config.Check(module+"pkg/agent", set, asts, &a.info)
	for _, f := range of {
		for _, d := range f.AST.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				a.bodies[a.info.Defs[fn.Name]] = body{f, fn}
			}
		}
	}
	return a
}

type nothing struct{}

func (nothing) Import(string) (*types.Package, error) { return nil, errors.New("not needed") }

// loops are where the loop begins.
func (a agent) loops() (functions []types.Object) {
	for fn, b := range a.bodies {
		if b.decl.Name.Name == "loop" {
			functions = append(functions, fn)
		}
	}
	return functions
}

// walk finds what a function calls in its package, and what it must not touch.
func (a agent) walk(b body) (calls []types.Object, found []Finding) {
	allowed := map[*ast.SelectorExpr]bool{}
	ast.Inspect(b.decl.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			return !slices.Contains(handsOver(), lastName(n.Fun))
		case *ast.SelectorExpr:
			if inner, ok := n.X.(*ast.SelectorExpr); ok && slices.Contains(inMemory(), inner.Sel.Name+"."+n.Sel.Name) {
				allowed[inner] = true
			}
			if why := a.touches(n); why != "" && !allowed[n] {
				found = append(found, b.file.at(n.Pos(), "%s is called by the deciding loop, which touches no disk and asks no PostgreSQL: %s", b.decl.Name.Name, why))
			}
		case *ast.Ident:
			if fn, ok := a.info.Uses[n].(*types.Func); ok {
				calls = append(calls, fn)
			}
		}
		return true
	})
	return calls, found
}

// touches says by what a selector reaches a disk, or "".
func (a agent) touches(sel *ast.SelectorExpr) string {
	if id, ok := sel.X.(*ast.Ident); ok {
		if pkg, ok := a.info.Uses[id].(*types.PkgName); ok && slices.Contains(diskRooms(), pkg.Imported().Path()) {
			return path.Base(pkg.Imported().Path()) + "." + sel.Sel.Name
		}
	}
	if field, ok := a.info.Uses[sel.Sel].(*types.Var); ok && field.IsField() && field.Pkg().Name() == "agent" && slices.Contains(diskHands(), field.Name()) {
		return "the field " + field.Name()
	}
	return ""
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}
