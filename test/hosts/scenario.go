package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// scenario is a file of test/hosts/scenarios: one command a line, # begins a comment.
type scenario struct {
	name   string
	title  string // its first comment
	quick  bool   // part of make test
	apart  bool   // pg_wal and a tablespace are on disks of their own
	clocks bool   // each host has a wall clock of its own
	lines  []line
}

// line is one command.
type line struct {
	number int
	text   string
	words  []string
}

// readScenario reads the whole file, and refuses a word that nobody knows before
// anything is done.
func readScenario(file string) (*scenario, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	return parseScenario(strings.TrimSuffix(filepath.Base(file), ".txt"), string(text))
}

func parseScenario(name, text string) (*scenario, error) {
	s := &scenario{name: name}
	for i, raw := range strings.Split(text, "\n") {
		command, comment, _ := strings.Cut(raw, "#")
		if s.title == "" && command == "" {
			s.title = strings.TrimSpace(comment)
		}
		command = strings.TrimSpace(command)
		words := strings.Fields(command)
		switch {
		case len(words) == 0:
			continue
		case command == "quick":
			s.quick = true
			continue
		case command == "disks apart":
			s.apart = true
			continue
		case command == "clocks apart":
			s.clocks = true
			continue
		}
		l := line{number: i + 1, text: command, words: words}
		if err := l.check(strings.TrimSpace(comment)); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, l.number, err)
		}
		s.lines = append(s.lines, l)
	}
	if s.title == "" {
		return nil, fmt.Errorf("%s: the first line must be a comment that says what happens", name)
	}
	return s, nil
}

// check refuses what nobody knows, and a limit that does not follow from the bound and
// comes without a reason.
func (l line) check(reason string) error {
	w, rest, err := meaning(l)
	if err != nil || w.name != "expect gap" && w.name != "wait until" {
		return err
	}
	b, rest, err := readBound(rest)
	switch {
	case err != nil:
		return err
	case w.name == "expect gap" && len(rest) > 0:
		return fmt.Errorf("%q: want %s", l.text, w.usage)
	case b.own > 0 && reason == "" && (b.owed > 0 || w.name == "expect gap"):
		return fmt.Errorf("%q: a limit of its own needs a comment on the line that says why", l.text)
	}
	return nil
}

// meaning finds the word that a line begins with; rest is what follows it.
func meaning(l line) (w word, rest []string, err error) {
	for _, w := range words() {
		head := strings.Fields(w.name)
		if len(l.words) < len(head) || strings.Join(l.words[:len(head)], " ") != w.name {
			continue
		}
		rest := l.words[len(head):]
		if len(rest) < w.least || w.most >= 0 && len(rest) > w.most {
			return w, nil, fmt.Errorf("%q: want %s", l.text, w.usage)
		}
		return w, rest, nil
	}
	return w, nil, fmt.Errorf("%q: no such command; docs/testing.md lists them", l.text)
}

// tail takes a time off the end of a line, such as "within 30s".
func tail(words []string, name string, otherwise time.Duration) ([]string, time.Duration, error) {
	n := len(words)
	if n < 2 || words[n-2] != name {
		return words, otherwise, nil
	}
	d, err := time.ParseDuration(words[n-1])
	return words[:n-2], d, err
}
