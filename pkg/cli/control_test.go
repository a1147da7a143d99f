package cli

import (
	"errors"
	"testing"

	"mcctl/pkg/wire"
)

// A supervisor that ends closes connections that it has not served, and then its socket
// is gone.
func TestStatusTellsAnEndFromSilence(t *testing.T) {
	mcdir := newMcdir(t)
	ln, err := wire.ListenUnix(socketOf(mcdir), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		open, err := ln.Accept()
		if err == nil {
			err = errors.Join(open.Close(), ln.Close())
		}
		ended <- err
	}()
	if _, err := (control{mcdir}).status(t.Context()); !errors.Is(err, errNotRunning) {
		t.Errorf("the status of a supervisor that has ended: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
