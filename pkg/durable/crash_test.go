package durable

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// asWriter, when set, makes the test binary a process that rewrites the named file for ever.
const asWriter = "DURABLE_TEST_WRITES"

func TestMain(m *testing.M) {
	if path := os.Getenv(asWriter); path != "" {
		for i := 0; ; i++ {
			if err := WriteFile(path, page(i), 0o600); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
	os.Exit(m.Run())
}

// page is a content that cannot be mistaken for a mixture of two others: one byte
// value throughout, and a length that tells which.
func page(i int) []byte {
	b := byte('a' + i%26)
	return bytes.Repeat([]byte{b}, 10000+int(b))
}

func wantWhole(t *testing.T, path string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || len(got) < 10000 || !bytes.Equal(got, page(int(got[0]-'a'))) {
		t.Fatalf("torn file: %d bytes, %v", len(got), err)
	}
}

// Killed at any moment, the writer leaves a whole file, and the next one gets on.
func TestKilledWriterLeavesAWholeFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, string(page(0)), 0o600)
	for i := range 25 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asWriter+"="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(15+3*i) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("the writer gave up: %v", cmd.ProcessState)
		}
		wantWhole(t, path)
	}
	write(t, path, string(page(1)), 0o600)
	wantOnly(t, dir, "f")
}

// Writers of one file, in this process and in another, do not take each other's
// temporary file away, and readers never see a mixture.
func TestWritersTakeTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, string(page(0)), 0o600)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asWriter+"="+path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 40 {
				if err := WriteFile(path, page(w+i), 0o600); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			wantWhole(t, path)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.Exited() {
		t.Errorf("the other writer gave up: %v", err)
	}
}
