package agent

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/clock"
	"mcctl/pkg/config"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// skipping is a clock by which every wait is over at once.
type skipping struct {
	clock.Clock
	now time.Duration
}

func (c *skipping) Now() time.Duration { return c.now }

func (c *skipping) Wait(_ context.Context, d time.Duration, _ <-chan struct{}) bool {
	c.now += d
	return false
}

// refusing is a link to a server that does not take what it is told until some time.
type refusing struct {
	Link
	clock clock.Clock
	until time.Duration
	tries int
	taken func()
}

func (l *refusing) State() wire.LinkState { return wire.LinkState{Connected: true} }

func (l *refusing) Call(context.Context, string, any, any) error {
	if l.tries++; l.clock.Now() < l.until {
		return errors.New("arbiter.kind is none here")
	}
	l.taken()
	return nil
}

// A telling is repeated several times a second for as long as it is refused. The log, on the
// disk that a change of roles needs, does not grow with that.
func TestATellingThatIsRefusedDoesNotFillTheLog(t *testing.T) {
	a := someAgent(t)
	paired := rec(3, 7, "server1", pair.Paired)
	ok(t, a.own.Save(paired))
	a.config.Pair.Arbiter.Kind = config.Command
	_, err := a.newKeeper()
	ok(t, err)
	log := &logged{}
	a.log = slog.New(slog.NewTextHandler(log, nil))
	fast := &skipping{clock.Machine, 0}
	ctx, cancel := context.WithCancel(t.Context())
	link := &refusing{a.link, fast, time.Hour, 0, cancel}
	a.clock, a.link = fast, link
	_ = a.keepTelling(ctx)
	refusals, ends := strings.Count(log.text.String(), "was not told"), strings.Count(log.text.String(), "any more")
	if link.tries < 1000 || refusals < 2 || refusals > 70 || ends != 1 {
		t.Errorf("%d tries in an hour: the log tells of %d refusals and %d ends", link.tries, refusals, ends)
	}
}
