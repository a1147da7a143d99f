package witness

import (
	"fmt"
	"strings"
	"unicode"

	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// What a server says is kept, logged and shown beside what other pairs say: it must be
// short and fit to be printed. A word that this version does not know is no reason to
// refuse it, because a newer one may have more of them.
const (
	maxTransition = 50
	maxWhere      = 4096 // the addresses of an etcd may be many
)

// soundReport refuses a report that no server sends.
func soundReport(r wire.WitnessReport) error {
	for name, is := range map[string]string{
		"postgres": r.Postgres, "pair": r.Known.Pair, "primary": string(r.Known.Primary), "mode": string(r.Known.Mode),
	} {
		if is != "" && !wire.ValidName(is) {
			return unsound(name, is)
		}
	}
	return soundText("moved", r.Known.Moved, maxWhere)
}

// soundChange refuses a change that no server proposes. Package record knows the
// transitions.
func soundChange(c record.Change) error {
	if !wire.ValidName(string(c.To)) {
		return unsound("to", string(c.To))
	}
	if err := soundText("transition", string(c.Transition), maxTransition); err != nil {
		return err
	}
	return soundText("where", c.Where, maxWhere)
}

func soundText(name, is string, limit int) error {
	if len(is) > limit || strings.ContainsFunc(is, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return unsound(name, is)
	}
	return nil
}

// unsound quotes the beginning of a text only: the error is told, and may be logged.
func unsound(name, is string) error {
	return fmt.Errorf("%w: %.50q cannot be what %q says; look at record.json of the server that sent it, and whether it runs mcctl", wire.ErrRefused, is, name)
}
