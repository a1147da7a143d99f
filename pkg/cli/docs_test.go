package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mcctl/test/made"
)

// TestDocs keeps docs/cli.md what the commands' own help says.
func TestDocs(t *testing.T) {
	made.Part(t, "../../docs/cli.md", "commands", reference(New(testEnv(&bytes.Buffer{}, &bytes.Buffer{}))))
}

// Every command line that help and documents show is one that mcctl takes. What the
// lines of the runbooks do is test/runbook's to see.
func TestEveryExampleIsRightUsage(t *testing.T) {
	root := New(testEnv(&bytes.Buffer{}, &bytes.Buffer{}))
	shown := map[string]string{} // where, by line
	for _, cmd := range visible(root) {
		for line := range strings.Lines(cmd.Example) {
			shown[line] = cmd.CommandPath()
		}
	}
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/runbooks/*.md"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %q, %v", pattern, paths, err)
		}
		for _, path := range paths {
			for _, line := range blocks(t, path) {
				shown[line] = path
			}
		}
	}
	tried := 0
	for line, where := range shown {
		for _, args := range commandLines(line) {
			tried++
			if err := usable(root, args); err != nil {
				t.Errorf("%s: %q: %v", where, args, err)
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d command lines were found", tried)
	}
}

// blocks are the lines of a page's code blocks, each with those that it goes on in.
func blocks(t *testing.T, path string) (lines []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(string(b), " ")
	for i, part := range strings.Split(whole, "```") {
		if i%2 == 1 {
			lines = append(lines, slices.Collect(strings.Lines(part))...)
		}
	}
	return lines
}

// commandLines are the words behind mcctl, wherever a line of shell has that as a
// command: at its beginning, in a pipe, in a loop, or behind the prompt of a session. A
// remark follows a # or many blanks.
func commandLines(line string) (all [][]string) {
	line = regexp.MustCompile(`(^|\s)#.*|\b\s{4,}.*`).ReplaceAllString(line, "")
	for _, m := range regexp.MustCompile(`(?:^\s*(?:\$ )?|[;|(] *|until )mcctl ((?:'[^']*'|"[^"]*"|[^|;&)>'"])*)`).FindAllStringSubmatch(line, -1) {
		var args []string
		for _, word := range regexp.MustCompile(`(?:'[^']*'|"[^"]*"|\S)+`).FindAllString(m[1], -1) {
			args = append(args, strings.NewReplacer("'", "", `"`, "").Replace(word))
		}
		all = append(all, args)
	}
	return all
}

// usable asks cobra what it thinks of a command line, without running it.
func usable(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Changed = false })
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// reference is all commands in Markdown: a list, then each with its flags.
func reference(root *cobra.Command) string {
	var list, rest strings.Builder
	list.WriteString("| command | what it does |\n| --- | --- |\n")
	for _, cmd := range visible(root) {
		anchor := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		fmt.Fprintf(&list, "| [`%s`](#%s) | %s |\n", cmd.CommandPath(), anchor, cell(cmd.Short))
		describe(&rest, cmd)
	}
	return list.String() + rest.String()
}

// visible are the commands that do something and that help shows.
func visible(root *cobra.Command) (all []*cobra.Command) {
	for _, cmd := range root.Commands() {
		switch {
		case cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion":
		case cmd.HasAvailableSubCommands():
			if cmd.Example != "" { // it does something by itself as well
				all = append(all, cmd)
			}
			all = append(all, visible(cmd)...)
		default:
			all = append(all, cmd)
		}
	}
	return all
}

func describe(b *strings.Builder, cmd *cobra.Command) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n    %s\n", cmd.CommandPath(), prose(text), cmd.UseLine())
	rows := ""
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			rows += flagRow(f)
		}
	})
	if rows != "" {
		b.WriteString("\n| flag | default | meaning |\n| --- | --- | --- |\n" + rows)
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "\n```\n%s\n```\n", strings.ReplaceAll("\n"+cmd.Example, "\n  ", "\n")[1:])
	}
}

// prose is help text in Markdown: nothing in it is markup, and what is indented, such
// as a list of words, stays as it is.
func prose(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  ") {
			b.WriteString("    " + strings.TrimLeft(line, " "))
			continue
		}
		b.WriteString(strings.NewReplacer("<", "&lt;", "*", `\*`, "_", `\_`).Replace(line))
	}
	return b.String()
}

func flagRow(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	kind, usage := pflag.UnquoteUsage(f)
	if kind != "" {
		name += " " + kind
	}
	value := f.DefValue
	switch {
	case value == "[]" || value == "false" || value == "0" && strings.Contains(usage, "default"), value == "0s":
		value = ""
	case value != "":
		value = "`" + value + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s |\n", cell(name), cell(value), cell(usage))
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
