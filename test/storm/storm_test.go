package main

import (
	"os"
	"testing"
	"time"
)

// TestShortStorm is make storm-kills with few kills, each arbiter kind once.
func TestShortStorm(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Fatal("PostgreSQL does not run as root: use make test")
	}
	if os.Getenv("MCCTL") == "" {
		t.Fatal("MCCTL does not name the mcctl program: use make test")
	}
	for _, arbiter := range []string{"witness", "none"} {
		t.Run(arbiter, func(t *testing.T) {
			err := run(t.Context(), options{
				seed: 1, rounds: 12, mcctl: os.Getenv("MCCTL"), bin: os.Getenv("PG_BIN"),
				arbiter: arbiter, profile: "default", patience: time.Minute, out: t.Output(),
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
