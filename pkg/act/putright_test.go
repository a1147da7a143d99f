package act

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
)

// Somebody saves postgresql.conf in place: for a moment it is empty.
func TestPutRightWaitsForWhoIsWriting(t *testing.T) {
	h, _ := newHands(t, theirs(pair.Alone))
	path := h.Config.Server.ConfigFile
	whole := content(t, path) + "work_mem = 12345\n"
	ok(t, os.Truncate(path, 0))
	outcome := make(chan error, 1)
	go func() { outcome <- h.PutRight(within(t)) }()
	time.Sleep(calm / 2)
	ok(t, os.WriteFile(path, []byte(whole), 0o600))
	ok(t, <-outcome)
	if now := content(t, path); !strings.Contains(now, "work_mem = 12345\n") {
		t.Errorf("what was written is lost; the file is now:\n%s", now)
	}
	if !waitsForStandby(t, h) {
		t.Error("the managed lines were not put right")
	}
}

func TestAnArchiveIsSeenInTheFiles(t *testing.T) {
	h, _ := newHands(t, theirs(pair.Alone))
	for _, c := range []struct {
		line string
		has  bool
	}{{"", false}, {"restore_command = 'fetch %f %p'", true}, {"restore_command = ''", false}} {
		appendTo(t, h.Config.Server.ConfigFile, c.line)
		if got := h.HasArchive(); got != c.has {
			t.Errorf("with %q at its end the file names an archive: %v", c.line, got)
		}
	}
}

// It was to be promoted, and then the record came to name the other server after all.
func TestPutRightTakesBackTheSlotOfAPromotion(t *testing.T) {
	h, _ := newHands(t, theirs(pair.Alone))
	ok(t, h.Postgres.MarkStandby())
	started(t, h)
	h.reserve(within(t))()
	const slots = "select count(*) from pg_replication_slots"
	eventually(t, "the slot is made", func() bool { return sql(t, server(h), slots) == "1" })
	ok(t, h.PutRight(within(t)))
	if n := sql(t, server(h), slots); n != "0" {
		t.Errorf("%s slots pin log on a standby", n)
	}
}

// Somebody saves postgresql.conf in place, again and again, while the names come and go
// as in attach and detach: what was saved is there until the next save.
func TestEditsLoseNothingThatIsSavedInPlace(t *testing.T) {
	h, _ := newHands(t, theirs(pair.Alone))
	path := h.Config.Server.ConfigFile
	was := content(t, path)
	saves := make(chan int)
	over := make(chan struct{})
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-over:
				saves <- n
				return
			default:
			}
			mark := fmt.Sprintf("work_mem = %d\n", 1000+n)
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
			if err != nil {
				t.Error(err)
				continue
			}
			time.Sleep(time.Millisecond) // it is empty
			_, _ = f.WriteString(was)
			time.Sleep(time.Millisecond)
			_, _ = f.WriteString(mark)
			_ = f.Close()
			time.Sleep(time.Duration(n%7) * time.Millisecond)
			if now, err := os.ReadFile(path); err != nil || !strings.Contains(string(now), mark) || len(now) < len(was) {
				t.Errorf("save %d is lost, %v:\n%s", n, err, now)
			}
		}
	}()
	for n := range 200 {
		ok(t, h.writeSettings(within(t), h.primarySettings(n%2 == 0)))
	}
	close(over)
	t.Logf("%d saves beside 200 edits", <-saves)
	ok(t, h.writeSettings(within(t), h.primarySettings(true)))
	if !waitsForStandby(t, h) {
		t.Error("the names are not there in the end")
	}
}

// A writer that does not come to an end is not waited for: clients would wait, too. Its
// text is kept, and its place told.
func TestAnEditDoesNotWaitForEver(t *testing.T) {
	h, _ := newHands(t, theirs(pair.Alone))
	path := h.Config.Server.ConfigFile
	var told []string
	h.Tell = func(text string) { told = append(told, text) }
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	ok(t, err)
	ok(t, h.writeSettings(within(t), h.primarySettings(true)))
	_, err = f.WriteString("work_mem = 12345\n")
	ok(t, errors.Join(err, f.Close()))
	if !waitsForStandby(t, h) || len(told) != 1 || !strings.Contains(told[0], "open for writing for more than 1s") {
		t.Errorf("told %q", told)
	}
	if left := content(t, path+durable.Displaced); !strings.Contains(left, "work_mem = 12345\n") {
		t.Errorf("left beside it:\n%s", left)
	}
	f, err = os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	ok(t, err)
	defer f.Close()
	fails(t, h.writeSettings(within(t), h.primarySettings(true)), "it is empty, and somebody has it open for writing", "fuser -v "+path)
	ok(t, h.writeSettings(within(t), h.primarySettings(false))) // nothing there to edit
}
