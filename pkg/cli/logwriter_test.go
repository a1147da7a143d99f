package cli

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// A pipe that nobody reads takes 64 KB and then hangs whoever writes, as a disk does.
func TestALogThatHangsHoldsNobodyUp(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w := newLogWriter(write)
	log := slog.New(slog.NewTextHandler(w, nil))
	done := make(chan struct{})
	go func() {
		for range 3 * logWaiting {
			log.Info("a line of the log", "filler", strings.Repeat("x", 100))
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("whoever logs hangs with the log")
	}
	var got bytes.Buffer
	all := make(chan error, 1)
	go func() { _, err := got.ReadFrom(read); all <- err }()
	w.close()
	_ = write.Close()
	if err := <-all; err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(got.String()), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "is missing") || len(lines) < logWaiting {
		t.Errorf("%d lines, the last one %q", len(lines), last)
	}
}

// The lines that wait for a disk that hangs are bounded by their bytes too, and a short
// one that fits after a long one that did not comes after a word about it.
func TestALogThatHangsHoldsFewBytes(t *testing.T) {
	disk := &hanging{goOn: make(chan struct{})}
	w := newLogWriter(disk)
	long := []byte(strings.Repeat("x", 1<<20-1000) + "\n")
	for range 100 {
		_, _ = w.Write(long)
	}
	if held := w.size.Load(); held > logRoom+1000 {
		t.Errorf("%d bytes are held", held)
	}
	_, _ = w.Write([]byte("short\n"))
	close(disk.goOn)
	w.close()
	end := disk.got.Bytes()[max(0, disk.got.Len()-200):]
	if !strings.Contains(string(end), "is missing") || !strings.HasSuffix(string(end), "short\n") || disk.got.Len() < logRoom/2 {
		t.Errorf("%d bytes, the end is %q", disk.got.Len(), end)
	}
	if held := w.size.Load(); held != 0 {
		t.Errorf("%d bytes still count as held", held)
	}
}

// hanging is a disk that hangs until goOn is closed.
type hanging struct {
	goOn chan struct{}
	got  bytes.Buffer
}

func (h *hanging) Write(b []byte) (int, error) {
	<-h.goOn
	return h.got.Write(b)
}

func TestALogIsWholeAtTheEnd(t *testing.T) {
	var got bytes.Buffer
	w := newLogWriter(&got)
	for range 100 {
		_, _ = w.Write([]byte("x\n"))
	}
	w.close()
	if got.String() != strings.Repeat("x\n", 100) {
		t.Errorf("the log holds %q", got.String())
	}
	_, _ = w.Write([]byte("late\n")) // by a goroutine that nobody waits for: no reason to panic
}
