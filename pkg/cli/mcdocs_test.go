package cli

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mcctl/test/made"
)

const mcPage = "../../docs/mc_ctl.md"

// mcPrograms are mc_ctl and mc_arb as they run.
func mcPrograms() []*cobra.Command {
	env := testEnv(&bytes.Buffer{}, &bytes.Buffer{})
	return []*cobra.Command{newMcCtl(env, &mcVoice{}), newMcArb(env, &mcVoice{})}
}

// TestDocsOfMcCtl keeps the list of all options of docs/mc_ctl.md what the commands have.
func TestDocsOfMcCtl(t *testing.T) {
	var b strings.Builder
	b.WriteString("| command | options |\n| --- | --- |\n")
	for _, program := range mcPrograms() {
		for _, cmd := range visible(program) {
			var options []string
			cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
				name := "`--" + f.Name + "`"
				if f.Shorthand != "" {
					name = "`-" + f.Shorthand + "` " + name
				}
				if f.Name != "help" {
					options = append(options, name)
				}
			})
			fmt.Fprintf(&b, "| `%s` | %s |\n", cmd.CommandPath(), strings.Join(options, ", "))
		}
	}
	made.Part(t, mcPage, "options", b.String())
}

// What the page's tables say of Mirroring Controller's commands and options is so: there
// is each, but for commands whose verdict is "not", and each command has a row.
func TestWhatThePageNamesIsThere(t *testing.T) {
	b, err := os.ReadFile(mcPage)
	if err != nil {
		t.Fatal(err)
	}
	tables, _, _ := strings.Cut(string(b), "<!-- options: ")
	options, named := 0, map[string]bool{}
	var program, cmd *cobra.Command
	for line := range strings.Lines(tables) {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, " "), "|")
		if len(cells) < 4 { // no row of three cells
			continue
		}
		for _, span := range codeSpans(cells[1]) {
			words := strings.FieldsFunc(span, func(c rune) bool { return strings.ContainsRune(" []", c) })
			if i := slices.IndexFunc(mcPrograms(), func(p *cobra.Command) bool { return p.Name() == span }); i >= 0 {
				program, cmd = mcPrograms()[i], nil
				continue
			}
			if !strings.HasPrefix(span, "-") {
				cmd = below(program, words[0])
				if there := cmd != nil; there == (strings.TrimSpace(cells[2]) == "not") {
					t.Errorf("%s: there is such a command of %s: %v", strings.TrimSpace(line), program.Name(), there)
				}
				named[program.Name()+" "+words[0]] = true
			}
			for _, option := range optionsIn(words) {
				if options++; cmd == nil || !has(cmd, option) {
					t.Errorf("%s: there is no such option: %s", strings.TrimSpace(line), option)
				}
			}
		}
	}
	for _, program := range mcPrograms() {
		for _, cmd := range visible(program) {
			if !named[cmd.CommandPath()] {
				t.Errorf("%s has no row", cmd.CommandPath())
			}
		}
	}
	if options < 15 {
		t.Errorf("only %d options were found in the tables", options)
	}
}

// Nor does the rest of the page speak of an option that no command has.
func TestThePageKnowsNoOtherOptions(t *testing.T) {
	b, err := os.ReadFile(mcPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, span := range codeSpans(string(b)) {
		for _, option := range optionsIn(strings.Fields(span)) {
			if !slices.ContainsFunc(mcPrograms(), func(p *cobra.Command) bool {
				return slices.ContainsFunc(visible(p), func(cmd *cobra.Command) bool { return has(cmd, option) })
			}) {
				t.Errorf("`%s`: no command has the option %s", span, option)
			}
		}
	}
}

// codeSpans are the texts between back quotes, each on one line; blocks have none.
func codeSpans(text string) (spans []string) {
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(text, -1) {
		spans = append(spans, m[1])
	}
	return spans
}

func optionsIn(words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !regexp.MustCompile(`^--?[a-zA-Z]`).MatchString(w) })
}

func below(program *cobra.Command, name string) *cobra.Command {
	for _, cmd := range program.Commands() {
		if cmd.Name() == name {
			return cmd
		}
	}
	return nil
}

func has(cmd *cobra.Command, option string) bool {
	if name, long := strings.CutPrefix(option, "--"); long {
		return cmd.Flags().Lookup(name) != nil
	}
	return len(option) == 2 && cmd.Flags().ShorthandLookup(option[1:]) != nil
}
