// Package check says what is wrong with a pair, or would be when it matters: a
// table of checks, each judged on what was seen of both servers, and a verdict
// whether failover, switch, rewind and rebuild would work now. It also judges what
// is in the way of a switch.
//
// Looking (Looker) and judging (Report, Preview) are apart: looking changes
// nothing, judging is pure. What could not be looked at is told and never counts
// as fine. It mends nothing and decides nothing for the supervisor, except that a
// switch is refused when Preview finds a blocker. Called by cli and agent.
package check

import (
	"slices"
	"strings"

	"mcctl/pkg/shell"
)

// Severity says how bad a finding is.
type Severity string

const (
	// Error: something that mcctl promises does not hold, or would fail.
	Error Severity = "error"
	// Warning: it works, but later or worse than it should, or will stop to work.
	Warning Severity = "warning"
	// Info: a choice of the operator that takes something away.
	Info Severity = "info"
)

// Ability is what a pair is there for.
type Ability string

// The abilities, in the order in which they are told.
const (
	Failover Ability = "failover"
	Switch   Ability = "switch"
	Rewind   Ability = "rewind"
	Rebuild  Ability = "rebuild"
)

// Abilities lists them all.
func Abilities() []Ability { return []Ability{Failover, Switch, Rewind, Rebuild} }

// Area is a part of what is looked at. A check whose area could not be looked at is
// not judged.
type Area string

const (
	// Files: the management directory, the data directory and the programs.
	Files Area = "files"
	// PostgreSQL: the running server's own views.
	PostgreSQL Area = "postgres"
	// Connection: connections from this server to the other PostgreSQL.
	Connection Area = "connection"
	// Supervisor: what this server's supervisor knows.
	Supervisor Area = "supervisor"
)

// Check is a row of the table.
type Check struct {
	// ID is stable: scripts and bug reports name it.
	ID string
	// What must hold, and Why it matters.
	What, Why string
	// Mend is the exact command; {words} are filled in from what was found.
	Mend     string
	Severity Severity
	// Blocks are the abilities that do not work while this is so.
	Blocks []Ability
	// Needs are the areas of the server it looks at; Both: of the other one as well.
	Needs []Area
	Both  bool
	// Once: it concerns the pair, and is judged on the server that asks only.
	Once bool
	// Judge tells what is wrong with a server, or nothing.
	Judge func(View) []Trouble
}

// Trouble is one thing that a check found wrong.
type Trouble struct {
	Text string            // with the value and what was wanted
	Fill map[string]string // for Mend
}

// View is a server as a check sees it: Me is the one that is judged.
type View struct {
	Me, Other *Side
	Scene     Scene
}

// Table lists every check, in groups.
func Table() []Check {
	return slices.Concat(
		[]Check{configurationCheck()}, fileChecks(), secretChecks(), programChecks(), unitChecks(), spaceChecks(),
		durabilityChecks(), standbyChecks(), limitChecks(), timingChecks(), overrideChecks(), archiveChecks(),
		connectionChecks(), certificateChecks(), supervisorChecks(), pairChecks(), policyChecks(),
	)
}

// told fills the words of a command, of which a path is one.
func told(mend string, fills ...map[string]string) string {
	for _, fill := range fills {
		for word, value := range fill {
			mend = strings.ReplaceAll(mend, "{"+word+"}", shell.Path(value))
		}
	}
	return mend
}

// fill makes the words of a Trouble from pairs.
func fill(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func one(text string, pairs ...string) []Trouble { return []Trouble{{text, fill(pairs...)}} }

// ifAny is for what was looked at and told in words, or found to be right.
func ifAny(text string) []Trouble {
	if text == "" {
		return nil
	}
	return one(text)
}

func needs(areas ...Area) []Area { return areas }

func blocks(abilities ...Ability) []Ability { return abilities }
