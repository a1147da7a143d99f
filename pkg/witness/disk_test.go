package witness

import (
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// writes is a disk whose writes end as a test says.
type writes struct {
	directory
	end func() error
}

func (d writes) WriteJSON(path string, v any, mode fs.FileMode) error {
	if err := d.end(); err != nil {
		return err
	}
	return d.directory.WriteJSON(path, v, mode)
}

func onDisk(t *testing.T, end func() error) *Witness {
	t.Helper()
	w, err := New(Config{
		Records: t.TempDir(), HeartbeatTimeout: time.Minute, Log: slog.New(slog.DiscardHandler),
		Disk: writes{directory{durable.Machine}, func() error { return end() }},
	})
	must(t, err)
	t.Cleanup(func() { w.unlock() })
	return w
}

// told is what a server and an operator hear of the disk.
func told(t *testing.T, w *Witness) (server, operator string) {
	t.Helper()
	v, err := w.ask("lab", "server1", wire.KindReport, wire.WitnessReport{Known: record.First("lab", "server1")})
	must(t, err)
	return v.(wire.WitnessView).Trouble, w.status("").Pairs[0].Error
}

// Nothing has to be written for weeks, and then a failover.
func TestADiskThatTakesNothingIsToldBeforeItIsNeeded(t *testing.T) {
	var fails error
	w := onDisk(t, func() error { return fails })
	w.found(t, "lab")
	for _, fails = range []error{syscall.ENOSPC, nil, syscall.EROFS, nil} {
		w.tryDisk(false)
		if fails != nil && !w.Beat(wire.Identity{Pair: "lab", Name: "server1"}, wire.Now()) {
			t.Errorf("%v is no news", fails)
		}
		server, operator := told(t, w)
		if fails == nil && server+operator != "" || fails != nil && (!strings.Contains(server, fails.Error()) || !strings.Contains(operator, fails.Error())) {
			t.Errorf("%v: the server is told %q, the operator %q", fails, server, operator)
		}
	}
}

// The witness answers while its disk does not, and says so.
func TestADiskThatHangsIsTold(t *testing.T) {
	w := onDisk(t, func() error { return nil })
	w.found(t, "lab")
	hang, ended := make(chan struct{}), make(chan struct{})
	w.cfg.Disk = writes{directory{durable.Machine}, func() error { <-hang; return nil }}
	go func() {
		defer close(ended)
		w.tryDisk(true)
	}()
	for w.tries.trouble(w.cfg.Clock.Now()+2*tryPatience) == "" {
		time.Sleep(time.Millisecond)
	}
	if server, operator := told(t, w); server+operator != "" {
		t.Errorf("at once the server is told %q, the operator %q", server, operator)
	}
	w.tries.begin(w.cfg.Clock.Now() - 2*tryPatience)
	if server, operator := told(t, w); !strings.Contains(server, "does not answer") || server != operator {
		t.Errorf("the server is told %q, the operator %q", server, operator)
	}
	close(hang)
	<-ended
	if server, operator := told(t, w); server+operator != "" {
		t.Errorf("at the end the server is told %q, the operator %q", server, operator)
	}
}

// A running witness tries, and keeps room for records.
func TestARunningWitnessTriesItsDisk(t *testing.T) {
	dir := t.TempDir()
	w, err := New(Config{Records: dir, HeartbeatTimeout: time.Minute, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(t.Context(), ln) }()
	for _, file := range []string{tryFile, reserveFile} {
		for _, err := os.Stat(filepath.Join(dir, file)); err != nil; _, err = os.Stat(filepath.Join(dir, file)) {
			time.Sleep(time.Millisecond)
		}
	}
	must(t, ln.Close())
	<-ended
	open(t, dir) // neither file is taken for a record
}

// Somebody has removed or changed what a restart would go by.
func TestAFileThatHasGoneIsWrittenAgain(t *testing.T) {
	w := open(t, t.TempDir())
	w.found(t, "lab")
	k := w.find("lab")
	for _, spoil := range []func(){
		func() { must(t, os.Remove(k.path)) },
		func() { must(t, os.WriteFile(k.path, []byte("{"), 0o600)) },
		func() { must(t, durable.WriteJSON(k.path, record.First("lab", "server2"), 0o600)) },
	} {
		spoil()
		w.tryDisk(true)
		var there record.Record
		if err := durable.ReadJSON(k.path, &there); err != nil || there != k.record {
			t.Errorf("the file holds %s, %v; the record is %s", there, err, k.record)
		}
	}
}
