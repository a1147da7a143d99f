package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"mcctl/pkg/durable"
	"mcctl/pkg/record"
)

// revision is that of the newest copy of the record that a server has on its disk. It is
// read there since a server may be frozen, or off.
func (w *world) revision() (newest record.Revision) {
	for _, name := range []string{"a", "b"} {
		var own record.Record
		if err := durable.Machine.ReadJSON(filepath.Join(w.hosts[name].disk(), "orders/record.json"), &own); err == nil {
			newest = max(newest, own.Revision)
		}
	}
	return newest
}

// expectChanges: since the step began the record was changed that seldom.
func (p *play) expectChanges(_ context.Context, rest []string) error {
	most, err := strconv.Atoi(rest[1])
	if err != nil || rest[0] != "<" {
		return fmt.Errorf("expect changes %s %s: want expect changes < NUMBER", rest[0], rest[1])
	}
	now := p.w.revision()
	if now == 0 {
		return errors.New("no server has a copy of the record that can be read")
	}
	changes := int(now - p.revision)
	p.note("%d", changes)
	if changes >= most {
		return fmt.Errorf("the record was changed %d times since the step began, want less than %d", changes, most)
	}
	return nil
}
