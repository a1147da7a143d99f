// Package blocks finds the blocks of the documents: what stands between fences, also in an
// item of a list, and what is indented as code. It tells where each is and no more: the
// tests that execute a page know how its blocks are run. test/tidy sees to it that there
// is no block that nobody looks after.
package blocks

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Block is one of them.
type Block struct {
	Line     int    // of the fence, or of the first line of one without
	Section  string // the heading (##) above it
	Language string // of the fence
	Indented bool   // it has no fence
	Lines    []string
}

// Text is what stands in it.
func (b Block) Text() string { return strings.Join(b.Lines, "\n") + "\n" }

// A fence may be indented; four spaces after an empty line are code without a fence.
var (
	fence = regexp.MustCompile("^([ \t]*)```(.*)$")
	code  = regexp.MustCompile(`^(    |\t)\s*\S`)
)

// Of gives those of a page, in order.
func Of(name, text string) (found []Block, err error) {
	section, lines := "", strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		if heading, ok := strings.CutPrefix(lines[i], "## "); ok {
			section = heading
		}
		b := Block{Line: i + 1, Section: section}
		if m := fence.FindStringSubmatch(lines[i]); m != nil {
			b.Language = m[2]
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "```"; i++ {
				b.Lines = append(b.Lines, strings.TrimPrefix(lines[i], m[1]))
			}
			if i == len(lines) {
				return found, fmt.Errorf("%s:%d: the block has no end", name, b.Line)
			}
		} else if code.MatchString(lines[i]) && (i == 0 || strings.TrimSpace(lines[i-1]) == "") {
			b.Indented = true
			for ; i < len(lines) && code.MatchString(lines[i]); i++ {
				b.Lines = append(b.Lines, strings.TrimSpace(lines[i]))
			}
			i-- // the line behind it may be a fence
		} else {
			continue
		}
		if len(b.Lines) == 0 {
			return found, fmt.Errorf("%s:%d: the block is empty", name, b.Line)
		}
		found = append(found, b)
	}
	return found, nil
}

// In gives those of a document, named from the top of the repository.
func In(top, name string) ([]Block, error) {
	text, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		return nil, err
	}
	return Of(name, string(text))
}

// Documents are README.md, CHANGELOG.md and all below docs, from the top of the repository.
func Documents(top string) (names []string, err error) {
	names = []string{"README.md", "CHANGELOG.md"}
	err = fs.WalkDir(os.DirFS(top), "docs", func(name string, _ fs.DirEntry, err error) error {
		if filepath.Ext(name) == ".md" {
			names = append(names, name)
		}
		return err
	})
	return names, err
}
