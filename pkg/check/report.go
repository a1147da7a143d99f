package check

import (
	"slices"
	"strings"

	"mcctl/pkg/pair"
)

// Finding is one thing that is wrong, ready to be shown.
type Finding struct {
	ID       string      `json:"id"`
	Severity Severity    `json:"severity"`
	Server   pair.Server `json:"server"`
	What     string      `json:"what"` // found, with value and threshold
	Why      string      `json:"why"`
	Mend     string      `json:"mend"`
	Blocks   []Ability   `json:"blocks,omitempty"`
}

// NotLooked are checks that could not be judged.
type NotLooked struct {
	Server pair.Server `json:"server"`
	Why    string      `json:"why"`
	IDs    []string    `json:"ids"`
}

// Verdict says whether an ability would work now: "yes", "no" or "unknown".
type Verdict struct {
	Ability Ability  `json:"ability"`
	Works   string   `json:"works"`
	Because []string `json:"because,omitempty"` // ids of findings, or of checks not judged
}

// What a Verdict says.
const (
	Yes     = "yes"
	No      = "no"
	Unknown = "unknown"
)

// Report is what came of all checks.
type Report struct {
	Pair      string      `json:"pair"`
	Server    pair.Server `json:"server"` // where it was made
	Findings  []Finding   `json:"findings"`
	NotLooked []NotLooked `json:"not_looked"`
	// Clean counts judgements that found nothing wrong, of both servers.
	Clean    int       `json:"clean"`
	Verdicts []Verdict `json:"verdicts"`
}

// Worst is the highest severity among the findings, or empty.
func (r Report) Worst() Severity {
	for _, severity := range []Severity{Error, Warning, Info} {
		if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == severity }) {
			return severity
		}
	}
	return ""
}

// Judge makes the report. It is pure: the same scene gives the same report.
func Judge(scene Scene, table []Check) Report {
	r := Report{Pair: scene.Pair, Server: scene.Here.Server, Findings: []Finding{}, NotLooked: []NotLooked{}}
	other := scene.Here.Config.Other()
	doubts := map[Ability][]string{}
	for _, c := range table {
		r.judge(c, View{scene.Here, scene.There, scene}, scene.Here.Server, doubts)
		if !c.Once {
			r.judge(c, View{scene.There, scene.Here, scene}, other, doubts)
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return rank(a.Severity) - rank(b.Severity) })
	for _, a := range Abilities() {
		r.Verdicts = append(r.Verdicts, r.verdict(a, doubts[a]))
	}
	return r
}

func rank(s Severity) int { return slices.Index([]Severity{Error, Warning, Info}, s) }

func (r *Report) judge(c Check, v View, server pair.Server, doubts map[Ability][]string) {
	if why := c.blind(v); why != "" {
		r.skip(server, why, c.ID)
		for _, a := range c.Blocks {
			if !slices.Contains(doubts[a], c.ID) {
				doubts[a] = append(doubts[a], c.ID)
			}
		}
		return
	}
	troubles := c.Judge(v)
	if len(troubles) == 0 {
		r.Clean++
	}
	for _, t := range troubles {
		r.Findings = append(r.Findings, Finding{
			ID: c.ID, Severity: c.Severity, Server: server, What: t.Text, Why: c.Why,
			Mend: told(c.Mend, t.Fill, v.Me.words()), Blocks: c.Blocks,
		})
	}
}

// blind says why the check cannot be judged, or nothing.
func (c Check) blind(v View) string {
	if v.Me == nil || c.Both && v.Other == nil {
		return v.Scene.NoAnswer
	}
	for _, area := range c.Needs {
		for _, side := range []*Side{v.Me, v.Other} {
			if side == nil || side == v.Other && !c.Both {
				continue
			}
			why := side.Missing[area]
			if why != "" && side == v.Other {
				why = "on " + string(side.Server) + ": " + why
			}
			if why != "" {
				return why
			}
		}
	}
	return ""
}

func (r *Report) skip(server pair.Server, why, id string) {
	for i := range r.NotLooked {
		if n := &r.NotLooked[i]; n.Server == server && n.Why == why {
			n.IDs = append(n.IDs, id)
			return
		}
	}
	r.NotLooked = append(r.NotLooked, NotLooked{server, why, []string{id}})
}

func (r *Report) verdict(a Ability, doubts []string) Verdict {
	v := Verdict{Ability: a, Works: Yes}
	for _, f := range r.Findings {
		if slices.Contains(f.Blocks, a) && !slices.Contains(v.Because, f.ID) {
			v.Works, v.Because = No, append(v.Because, f.ID)
		}
	}
	if v.Works == Yes && len(doubts) > 0 {
		v.Works, v.Because = Unknown, doubts
	}
	return v
}

// Listed is a row of the table without its judgement.
type Listed struct {
	ID       string    `json:"id"`
	Severity Severity  `json:"severity"`
	What     string    `json:"what"`
	Why      string    `json:"why"`
	Mend     string    `json:"mend"`
	Blocks   []Ability `json:"blocks,omitempty"`
}

// List is the table for programs.
func List(table []Check) (all []Listed) {
	for _, c := range table {
		all = append(all, Listed{c.ID, c.Severity, c.What, c.Why, c.Mend, c.Blocks})
	}
	return all
}

// Markdown renders the table as docs/check.md shows it.
func Markdown(table []Check) string {
	var b strings.Builder
	b.WriteString("| id | severity | what must hold | why | how to mend | in the way of |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, c := range table {
		var in []string
		for _, a := range c.Blocks {
			in = append(in, string(a))
		}
		cells := []string{"`" + c.ID + "`", string(c.Severity), c.What, c.Why, "`" + c.Mend + "`", strings.Join(in, ", ")}
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`) // as a table's cell needs it
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String()
}
