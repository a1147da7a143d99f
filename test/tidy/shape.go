package tidy

import (
	"go/ast"
	"slices"
	"strings"
)

// Limits of what one can take in: a function on one screen, a file in one sitting.
const (
	functionLines = 70
	fileLines     = 500
)

// PackageComments wants exactly one for each package, so that there is one place
// to read what a package is, and no second one that has come to differ.
func PackageComments(files []*File) (found []Finding) {
	for _, pkg := range packages(files) {
		var commented []*File
		for _, f := range pkg {
			if f.AST.Doc != nil {
				commented = append(commented, f)
			}
		}
		first := pkg[0]
		switch len(commented) {
		case 0:
			found = append(found, first.at(first.AST.Package, "package %s has no package comment; say what it is, what it is not and who calls it", first.AST.Name.Name))
		case 1:
			found = append(found, judgePackageComment(commented[0])...)
		default:
			for _, f := range commented[1:] {
				found = append(found, f.at(f.AST.Doc.Pos(), "package %s has a second package comment; the first is in %s", f.AST.Name.Name, commented[0].Path))
			}
		}
	}
	return found
}

func judgePackageComment(f *File) []Finding {
	name := f.AST.Name.Name
	if name == "main" || strings.HasPrefix(f.AST.Doc.Text(), "Package "+name+" ") {
		return nil
	}
	return []Finding{f.at(f.AST.Doc.Pos(), "the package comment must begin with \"Package %s \"", name)}
}

// Lengths keeps functions and files short. Generated files may be long.
func Lengths(files []*File) (found []Finding) {
	for _, f := range files {
		if f.Generated() {
			continue
		}
		if n := strings.Count(f.Text, "\n"); n > fileLines {
			found = append(found, f.line(fileLines+1, "the file has %d lines, more than %d; split it by what it does", n, fileLines))
		}
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := f.set.Position(fn.End()).Line - f.set.Position(fn.Pos()).Line + 1
			if n > functionLines {
				found = append(found, f.at(fn.Pos(), "function %s has %d lines, more than %d; split it", fn.Name.Name, n, functionLines))
			}
		}
	}
	return found
}

// PackageNames refuses drawers: a package is named for what it provides.
func PackageNames(files []*File) (found []Finding) {
	drawers := []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "base", "shared"}
	for _, pkg := range packages(files) {
		f := pkg[0]
		name := strings.TrimSuffix(f.AST.Name.Name, "_test")
		if slices.Contains(drawers, name) || slices.Contains(drawers, room(f.Dir())) {
			found = append(found, f.at(f.AST.Name.Pos(), "package %s says nothing; name it for what it provides", name))
		}
	}
	return found
}
