package check

// configurationCheck is judged by loading: a configuration that could be loaded is
// right, and nothing else can be looked at without one.
func configurationCheck() Check {
	return Check{
		ID: "configuration", What: "pair.toml and server.toml can be read, with secrets that only their owner can read", Severity: Error,
		Why:    "the supervisor does not start without",
		Mend:   "mend the lines told, then: mcctl check -M {mcdir}",
		Blocks: blocks(Failover, Switch, Rewind, Rebuild),
		Judge:  func(View) []Trouble { return nil },
	}
}

// Unconfigured is the report on a server whose configuration cannot be loaded.
func Unconfigured(mcdir string, problem error) Report {
	c := configurationCheck()
	r := Report{
		Findings:  []Finding{{ID: c.ID, Severity: c.Severity, What: problem.Error(), Why: c.Why, Mend: told(c.Mend, fill("mcdir", mcdir)), Blocks: c.Blocks}},
		NotLooked: []NotLooked{{Why: "the configuration cannot be read"}},
	}
	for _, row := range Table() {
		if row.ID != c.ID {
			r.NotLooked[0].IDs = append(r.NotLooked[0].IDs, row.ID)
		}
	}
	for _, a := range Abilities() {
		r.Verdicts = append(r.Verdicts, r.verdict(a, nil))
	}
	return r
}
