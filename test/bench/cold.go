package main

import (
	"context"
	"time"

	"mcctl/pkg/lab"
)

// cold takes the time of mcctl status from the start of the program to its end.
func (b *bench) cold(ctx context.Context, profile string, n int) error {
	if !b.wanted(coldStatus) || !lacks(b.have, ours, profile, coldStatus, n+1) {
		return nil
	}
	began := time.Now()
	_, err := b.stage.Run(ctx, lab.Server1, "status")
	s := sample{At: began, Values: map[string]float64{"status_ms": millis(time.Since(began))}}
	return b.note(ctx, ours, profile, coldStatus, s, err)
}
