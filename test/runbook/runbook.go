// Package runbook executes the pages in docs/runbooks: every block of commands, in
// its order, on a real pair under load, with the page's variables set to the lab's
// paths. It says nothing about how fast the pair is (test/bench) nor about faults that
// no page speaks of (test/pair). Its tests are run by make test.
package runbook

import (
	"fmt"
	"regexp"
	"strings"

	"mcctl/test/blocks"
)

// Page is what a page in docs/runbooks has to be executed.
type Page struct {
	Name   string
	Blocks []Block
}

// Block is one fenced block of commands.
type Block struct {
	Line      int      // of its first line in the page
	Section   string   // the heading above it
	Servers   []string // where it runs, in this order
	Variables bool     // it sets the variables of the page for its servers
	Root      bool     // it is root's
	// PrintsToken: it prints a token and waits for whoever TakesToken.
	PrintsToken, TakesToken bool
	Text                    string
}

// place is the first line of every block: "# on server2, the standby".
var place = regexp.MustCompile(`^# on (server1|server2|both servers|arbiter)\b(.*)$`)

// exported is a variable of the page.
var exported = regexp.MustCompile(`\b([A-Z]+)=`)

// Parse reads a page. A block is either of the language sh, and is executed, or text,
// which somebody's terminal has shown; anything else, also what is indented as code, is an
// error, since nothing would look after it.
func Parse(name, text string) (Page, error) {
	page := Page{Name: name}
	found, err := blocks.Of(name, text)
	if err != nil {
		return page, err
	}
	for _, f := range found {
		if f.Language == "text" {
			continue
		}
		if f.Language != "sh" {
			return page, fmt.Errorf("%s:%d: a block of language %q is neither executed nor text", name, f.Line, f.Language)
		}
		b, err := parseBlock(f.Lines)
		if err != nil {
			return page, fmt.Errorf("%s:%d: a block that cannot be executed: %w", name, f.Line, err)
		}
		b.Line, b.Section = f.Line+1, f.Section
		page.Blocks = append(page.Blocks, b)
	}
	return page, nil
}

func parseBlock(lines []string) (Block, error) {
	if len(lines) < 2 {
		return Block{}, fmt.Errorf("it has no command")
	}
	m := place.FindStringSubmatch(lines[0])
	if m == nil {
		return Block{}, fmt.Errorf("its first line must say where, such as: # on server2, the standby")
	}
	b := Block{Servers: []string{m[1]}, Text: strings.Join(lines, "\n") + "\n"}
	b.Variables, b.Root = strings.Contains(m[2], ": the variables"), strings.HasPrefix(m[2], ", as root")
	b.PrintsToken, b.TakesToken = strings.Contains(m[2], ", prints the token"), strings.Contains(m[2], ", takes the token")
	if m[1] == "both servers" {
		b.Servers = []string{"server1", "server2"}
	}
	return b, nil
}

// Of is the part of the page below a heading; the blocks above the first heading set its
// variables.
func (p Page) Of(section string) Page {
	part := Page{Name: p.Name}
	for _, b := range p.Blocks {
		if b.Section == section {
			part.Blocks = append(part.Blocks, b)
		}
	}
	return part
}

// Names are the variables that the block exports.
func (b Block) Names() (names []string) {
	for line := range strings.Lines(b.Text) {
		settings, ok := strings.CutPrefix(line, "export ")
		if !ok {
			continue
		}
		settings = regexp.MustCompile(`"[^"]*"|'[^']*'|#.*`).ReplaceAllString(settings, "")
		for _, m := range exported.FindAllStringSubmatch(settings, -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// Title is the block's first command, for messages.
func (b Block) Title() string {
	return strings.TrimSpace(strings.Split(b.Text, "\n")[1])
}
