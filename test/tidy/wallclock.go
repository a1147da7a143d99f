package tidy

import (
	"go/ast"
	"slices"
)

// timelessRooms may not compute with wall time: it jumps when somebody sets the clock.
// What time.Now gives is compared there by its monotonic part only, which numbers,
// parsed times and what was stored have lost; what matters to safety goes by wire.Now.
func timelessRooms() []string {
	return []string{"pair", "record", "decide", "durable", "disk", "board", "observe", "act", "agent", "arbiter", "witness", "wire", "postgres"}
}

// wallTimeAllowed are the files in which wall time is what is meant, with the reason.
func wallTimeAllowed() map[string]string {
	return map[string]string{
		"pkg/act/rebuilds.go":     "a name that no earlier job has",
		"pkg/act/lost.go":         "when a report was made, for people",
		"pkg/postgres/tail.go":    "the time of a file, compared for being another one",
		"pkg/postgres/waldump.go": "when a transaction committed, for people",
		"pkg/act/putright.go":     "the time of a file, compared for being another one",
		"pkg/wire/certificate.go": "certificates are valid by the calendar",
	}
}

// WallClock refuses what turns an instant into wall time, or makes one from it.
func WallClock(files []*File) (found []Finding) {
	losing := []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "UTC", "Local", "AddDate"}
	making := []string{"Unix", "UnixMilli", "UnixMicro", "Date", "Parse", "ParseInLocation"}
	for _, f := range files {
		if f.Test() || !slices.Contains(timelessRooms(), f.Room()) || wallTimeAllowed()[f.Path] != "" {
			continue
		}
		f.selectors("time", func(sel *ast.SelectorExpr) {
			if slices.Contains(making, sel.Sel.Name) {
				found = append(found, f.at(sel.Pos(), "time.%s makes wall time, which jumps: use wire.Now for what is compared", sel.Sel.Name))
			}
		})
		ast.Inspect(f.AST, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) > 0 {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains(losing, sel.Sel.Name) {
				found = append(found, f.at(sel.Pos(), "%s() is wall time, which jumps: use wire.Now for what is compared", sel.Sel.Name))
			}
			return true
		})
	}
	return found
}
