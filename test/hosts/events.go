package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// events is the text of a server's journal, as it stands on its disk.
func (w *world) events(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(w.hosts[name].disk(), "orders/log/events.jsonl"))
	if err != nil {
		return "", fmt.Errorf("read the events of %s: %w", name, err)
	}
	return string(text), nil
}

// readEvents keeps what the journals say now. Of a host that is off it keeps what was
// known before.
func (p *play) readEvents() {
	for _, name := range []string{"a", "b"} {
		if text, err := p.w.events(name); err == nil {
			p.before[name] = text
		}
	}
}

// event tells whether a server's journal has gained a line with the text, or one of them, since before.
func (p *play) event(name, text string) (bool, error) {
	if p.w.hosts[name] == nil || name == "w" {
		return false, fmt.Errorf("events of %q: want a or b", name)
	}
	now, err := p.w.events(name)
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(gained(p.before[name], now)) {
		var e struct{ Text string }
		if json.Unmarshal([]byte(line), &e) == nil && saysOneOf(e.Text, text) {
			return true, nil
		}
	}
	return false, nil
}

// saysOneOf tells whether a line has one of the texts, between which stands "or".
func saysOneOf(line, texts string) bool {
	return slices.ContainsFunc(strings.Split(texts, " or "), func(text string) bool { return strings.Contains(line, text) })
}

// cameBack tells whether a server has been rewound or rebuilt since the scenario began.
func (p *play) cameBack() (bool, error) {
	for _, name := range []string{"a", "b"} {
		now, err := p.w.events(name)
		if err != nil {
			return false, err
		}
		if strings.Contains(gained(p.first[name], now), "rejoin done") {
			return true, nil
		}
	}
	return false, nil
}

// gained is what a journal has now and had not before. Times do not tell: a clock may have
// jumped. Nor does the length: a power cut takes the last lines away.
func gained(before, now string) string {
	for line := range strings.Lines(before) {
		rest, same := strings.CutPrefix(now, line)
		if !same {
			break
		}
		now = rest
	}
	return now
}

func (p *play) expectEvent(_ context.Context, rest []string) error {
	text := strings.Join(rest[1:], " ")
	found, err := p.event(rest[0], text)
	if err == nil && !found {
		err = fmt.Errorf("%s has no event %q since the step began", rest[0], text)
	}
	return err
}

func (p *play) expectNoEvent(_ context.Context, rest []string) error {
	text := strings.Join(rest[1:], " ")
	found, err := p.event(rest[0], text)
	if err == nil && found {
		err = fmt.Errorf("%s has the event %q", rest[0], text)
	}
	return err
}
