package sim

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets the heap grow further than Go does: worlds are made and thrown away, and
// collecting them takes a fifth of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(2000)
	os.Exit(m.Run())
}
