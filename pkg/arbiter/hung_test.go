package arbiter

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

// onHungDisk is the copy of a server whose disk hangs from now on.
func onHungDisk(t *testing.T, r record.Record) (*Copy, *fault.Hung) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "record.json")
	own, err := OpenCopy(durable.Machine, path)
	must(t, err)
	must(t, own.Save(r))
	disk := fault.Hang(t)
	own, err = OpenCopy(disk, path)
	must(t, err)
	return own, disk
}

var errLeft = errors.New("given up by the operator")

func nobody() (record.Record, bool) { return record.Record{}, false }

// changes begins a change that hangs.
func changes(t *testing.T, k Keeper, disk *fault.Hung, ch record.Change) (ended chan error) {
	t.Helper()
	ended = make(chan error, 1)
	go func() {
		_, err := k.Change(t.Context(), ch)
		ended <- err
	}()
	disk.Await(t)
	return ended
}

// noAnswer: a change that waits for the disk ends in its time, and says for what it waited.
func noAnswer(t *testing.T, k Keeper, ch record.Change) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := k.Change(ctx, ch)
	if !errors.Is(err, wire.ErrNoAnswer) || !errors.Is(err, errDiskSilent) {
		t.Errorf("%s: %v", ch.Transition, err)
	}
}

func TestALocalChangeOnAHungDiskIsNoAnswer(t *testing.T) {
	own, disk := onHungDisk(t, pairedRecord)
	k := NewLocal(Machine, own, "server1", nobody)
	handOver := record.Change{Transition: record.HandOver, By: "server1", To: "server2", From: pairedRecord.Revision}
	disk.Free(t, "a change", func() {
		noAnswer(t, k, handOver)
		noAnswer(t, k, handOver) // its turn has not come
		left, leave := context.WithCancelCause(t.Context())
		leave(errLeft)
		if _, err := k.Change(left, handOver); !errors.Is(err, wire.ErrNoAnswer) || !errors.Is(err, errLeft) || errors.Is(err, errDiskSilent) {
			t.Errorf("who gives up is told: %v", err)
		}
	})
	if r, _, reached := k.Seen(); r != pairedRecord || !reached {
		t.Errorf("what is not saved counts: %s, %v", r, reached)
	}
	disk.LetGo()
	// The one that was on its way has come through, and says so.
	_, err := k.Change(t.Context(), handOver)
	if r := own.Get(); err == nil || r.Primary != "server2" || r.Term != 4 {
		t.Errorf("the record is %s, %v", r, err)
	}
}

// Who asks what became of a change whose answer was lost is not told the record of before,
// which the disk may still replace; once the disk has answered he is told what holds.
func TestAChangeOnAHungDiskHasNoOutcomeYet(t *testing.T) {
	handOver := record.Change{Transition: record.HandOver, By: "server1", To: "server2", From: pairedRecord.Revision}
	handedOver, err := pairedRecord.Apply(handOver)
	must(t, err)
	for _, kind := range []string{KindNone, KindCommand} {
		for end, want := range map[string]record.Record{"saves": handedOver, "refuses": pairedRecord} {
			t.Run(kind+" "+end, func(t *testing.T) {
				own, disk := onHungDisk(t, pairedRecord)
				heard := func() (record.Record, bool) { return pairedRecord, true }
				k := NewLocal(Machine, own, "server1", heard)
				if kind == KindCommand {
					c := NewCommand(Machine, own, "server1", heard, silent)
					r, _ := c.Telling()
					must(t, c.Answered(t.Context(), r, false))
					k = c
				}
				noAnswer(t, k, handOver)
				disk.Free(t, "a question", func() {
					if now, err := k.Read(t.Context()); !errors.Is(err, wire.ErrNoAnswer) {
						t.Errorf("while it is being saved: %s, %v", now, err)
					}
				})
				if end == "refuses" {
					must(t, os.RemoveAll(filepath.Dir(own.path)))
				}
				disk.LetGo()
				now, err := k.Read(t.Context())
				for start := time.Now(); err != nil && time.Since(start) < patience; now, err = k.Read(t.Context()) {
					time.Sleep(time.Millisecond)
				}
				if err != nil || now != want {
					t.Errorf("the disk %s: %s, %v", end, now, err)
				}
			})
		}
	}
}

// The loop asks these every time; with a hung disk it must go on.
func asksOfTheLoop(c *Command) {
	c.Seen()
	c.Problem()
	c.Leave()
	c.Settled()
	c.Meetings()
	c.Telling()
	c.Lost()
	_, _ = c.Read(context.Background())
}

// While a primary goes alone, nothing is told: the word that it was given would be void.
func TestAPrimaryThatGoesAloneOnAHungDisk(t *testing.T) {
	own, disk := onHungDisk(t, pairedRecord)
	c := NewCommand(Machine, own, "server1", nobody, func(context.Context, record.Record) error { return nil })
	r, _ := c.Telling()
	must(t, c.Answered(t.Context(), r, false))
	c.Lost()
	goAlone := record.Change{Transition: record.Detach, By: "server1", To: "server1", From: r.Revision}
	ended := changes(t, c, disk, goAlone)
	disk.Free(t, "the loop", func() { asksOfTheLoop(c) })
	if _, due := c.Telling(); due {
		t.Error("the standby is told that they are paired")
	}
	if now, _, _ := c.Seen(); now != r {
		t.Errorf("what is not saved counts: %s", now)
	}
	noAnswer(t, c, goAlone)
	disk.LetGo()
	must(t, <-ended)
	if now, _, _ := c.Seen(); now.Mode != pair.Alone || c.Leave() != LeaveGiven {
		t.Errorf("the record is %s, leave %d", now, c.Leave())
	}
}

// While a standby takes over, its record may be on the disk already: it neither gives
// its word any more, nor takes a telling.
func TestAStandbyThatTakesOverOnAHungDisk(t *testing.T) {
	own, disk := onHungDisk(t, pairedRecord)
	c := NewCommand(Machine, own, "server2", nobody, silent)
	_, err := c.Told(pairedRecord)
	must(t, err)
	c.Fenced(c.Meetings())
	ended := changes(t, c, disk, record.Change{Transition: record.Failover, By: "server2", To: "server2", From: pairedRecord.Revision})
	disk.Free(t, "the loop", func() { asksOfTheLoop(c) })
	if err := c.Waive(pairedRecord); err == nil {
		t.Error("it gave its word while it took over")
	}
	if _, err := c.Told(pairedRecord); err == nil {
		t.Error("it took a telling while it took over")
	}
	disk.LetGo()
	must(t, <-ended)
	if now, _, _ := c.Seen(); now.Term != 4 || now.Primary != "server2" {
		t.Errorf("the record is %s", now)
	}
}
