package cli

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// logWriter writes the log of a supervisor or a witness from a goroutine of its own: its
// disk may hang, often together with PostgreSQL's or the records', and who decides or
// hears heartbeats must not wait for it. What there is no room for meanwhile is lost, and
// the log says so.
type logWriter struct {
	lines chan []byte
	ended chan struct{}

	mu     sync.Mutex // never held while the disk is waited for
	closed bool       // who comes later, such as a command's last words, is not heard
	hole   bool       // the last line in waiting says that others are missing

	size atomic.Int64 // of the lines in waiting, in bytes
}

// What may wait for the disk. A line can be long: some quote what others say.
const (
	logWaiting = 2048    // lines
	logRoom    = 8 << 20 // bytes
)

func newLogWriter(to io.Writer) *logWriter {
	w := &logWriter{lines: make(chan []byte, logWaiting), ended: make(chan struct{})}
	go w.drain(to)
	return w
}

func (w *logWriter) drain(to io.Writer) {
	defer close(w.ended)
	for line := range w.lines {
		_, _ = to.Write(line) // there is nobody else to tell
		w.size.Add(-int64(len(line)))
	}
}

// Write never waits. When the room comes to its end, the last place says so.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	room := len(w.lines) < logWaiting-1 && w.size.Load()+int64(len(line)) <= logRoom
	switch {
	case w.closed:
	case room:
		w.put(bytes.Clone(line)) // slog uses its buffer again
	case !w.hole:
		w.put(fmt.Appendf(nil, "the log's disk hangs: what follows here is missing, from %s on\n", time.Now().Format(time.RFC3339)))
	}
	w.hole = !room
	return len(line), nil
}

// put finds a place free: it is called with mu held, and drain only makes room.
func (w *logWriter) put(line []byte) {
	w.size.Add(int64(len(line)))
	w.lines <- line
}

// close writes what is left, unless the disk hangs.
func (w *logWriter) close() {
	w.mu.Lock()
	w.closed = true
	close(w.lines)
	w.mu.Unlock()
	select {
	case <-w.ended:
	case <-time.After(time.Second):
	}
}
