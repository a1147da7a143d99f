package agent

import (
	"testing"

	"mcctl/pkg/decide"
)

func TestWhatIsNoNews(t *testing.T) {
	for _, c := range []struct {
		do       decide.Action
		postgres decide.Postgres
		doing    decide.Action
		want     bool
	}{
		{decide.Wait, decide.PostgresOpen, "", false},
		{decide.Wait, decide.PostgresDown, decide.Rejoin, true},
		{decide.Retire, decide.PostgresStarting, "", false},
		{decide.Retire, decide.PostgresStarting, decide.Rejoin, true},
		{decide.Retire, decide.PostgresStarting, decide.Rebuild, true},
		{decide.Retire, decide.PostgresStarting, decide.StartOpen, false},
		{decide.Retire, decide.PostgresOpen, decide.Rebuild, false}, // a primary that is open all the same
	} {
		if got := isNoNews(c.do, decide.Facts{Postgres: c.postgres}, c.doing); got != c.want {
			t.Errorf("%s while %s, PostgreSQL %v: %t", c.do, c.doing, c.postgres, got)
		}
	}
}
