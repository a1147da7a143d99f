// Package made keeps the pages of docs that are made from the code what the code says:
// a test compares, and with -update (make docs) it writes. The tests of the packages that
// such a page tells of use it.
package made

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the pages that are made from the code")

// Part is what stands in a page between the marks of that name.
func Part(t *testing.T, page, name, made string) {
	t.Helper()
	begin, end := "<!-- "+name+": made by make docs -->\n", "<!-- end of "+name+" -->"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(b), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the marks %q and %q", page, begin, end)
	}
	Whole(t, page, head+begin+made+end+tail)
}

// Whole is all that stands in a file.
func Whole(t *testing.T, file, made string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil && string(b) == made {
		return
	}
	if !*update {
		t.Fatal(errors.Join(fmt.Errorf("%s is not what the code says: run make docs", file), err))
	}
	if err := os.WriteFile(file, []byte(made), 0o644); err != nil {
		t.Fatal(err)
	}
}
