package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"mcctl/pkg/decide"
	"mcctl/pkg/wire"
)

func TestExplain(t *testing.T) {
	s := newSupervisor(t, wire.Status{})
	e := wire.Explanation{
		Server: "server2", Rule: 390, Action: "wait", Why: "this server is standby", Doing: "rejoin: 40 %", NextStep: "see there",
		Facts: []wire.Fact{{Name: "task", Value: "none"}, {Name: "peer-postgres", Value: "open"}},
		Above: []wire.Missed{{Rule: 101, Action: "stop", Fact: "task", Value: "none", Wants: "stop"}},
	}
	s.on(wire.KindExplain, func(json.RawMessage) (any, error) { return e, nil })
	same(t, mcctl(t.Context(), "explain", "-M", s.mcdir).stdout, `
server2: rule 390: wait, because this server is standby
now: rejoin: 40 %
next step: see there

FACT           IS
task           none
peer-postgres  open

RULE ABOVE  WOULD  BUT   IS    NOT
101         stop   task  none  stop
`)
	var got wire.Explanation
	if err := json.Unmarshal([]byte(mcctl(t.Context(), "explain", "-o", "json", "-M", s.mcdir).stdout), &got); err != nil || got.Rule != 390 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Every rule is in every form, in the table's order and with all that it wants.
func TestRules(t *testing.T) {
	text := strings.Split(strings.TrimSpace(mcctl(t.Context(), "rules").stdout), "\n")[1:]
	markdown := strings.Split(strings.TrimSpace(mcctl(t.Context(), "rules", "-o", "markdown").stdout), "\n")[2:]
	var rows []ruleRow
	if err := json.Unmarshal([]byte(mcctl(t.Context(), "rules", "-o", "json").stdout), &rows); err != nil {
		t.Fatal(err)
	}
	if n := len(decide.Rules); len(text) != n || len(markdown) != n || len(rows) != n {
		t.Fatalf("%d rules, but %d in text, %d in markdown, %d in JSON", n, len(text), len(markdown), len(rows))
	}
	for i, r := range decide.Rules {
		id := fmt.Sprint(r.ID)
		if !strings.HasPrefix(text[i], id+" ") || !strings.HasPrefix(markdown[i], "| "+id+" | ") || rows[i].ID != r.ID {
			t.Errorf("rule %d is not row %d everywhere:\n%s\n%s\n%+v", r.ID, i, text[i], markdown[i], rows[i])
		}
		if strings.Count(markdown[i], "|") != 6 {
			t.Errorf("not five cells: %s", markdown[i])
		}
		for _, line := range []string{text[i], markdown[i]} {
			if !strings.Contains(line, r.Why) || !strings.Contains(line, string(r.Do)) {
				t.Errorf("rule %d: %s", r.ID, line)
			}
		}
	}
	same(t, markdown[2], "| 110 | record unread or claimed | wait | T6 | nobody has confirmed yet whom the record names, and the own copy alone may be out of date |")
}
