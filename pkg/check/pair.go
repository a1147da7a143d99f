package check

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"mcctl/pkg/config"
	"mcctl/pkg/pair"
)

// supervisorChecks look at what only a running supervisor knows.
func supervisorChecks() []Check {
	return []Check{
		{
			ID: "peer-reached", What: "this supervisor reaches the other one, with certificates accepted both ways", Severity: Error,
			Why:    "servers that do not talk cannot hand over, and a standby without its supervisor does not take over",
			Mend:   "on {other}: mcctl start; and see that {admin} can be reached from {me} (firewall)",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(Supervisor), Judge: peerReached,
		},
		{
			ID: "arbiter-reached", What: "the arbiter is reached, and could write a change", Severity: Error,
			Why:    "without it no role can change, and a lost standby holds up commits",
			Mend:   "see that the arbiter runs (a witness: mcctl arbiter start on its host), and that {arbiter} can be reached from {me}; one that is reached says what it needs: room on its disk, etcd's quota freed (compact, defragment, etcdctl alarm disarm), or the right to write",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(Supervisor), Judge: arbiterReached,
		},
		{
			ID: "paired", What: "the pair is paired: commits wait for the standby", Severity: Error,
			Why:    "while the primary is alone nobody can take over from it without a loss",
			Mend:   "mcctl explain -M {mcdir} on both servers tells what is in the way; after a detach: mcctl attach -M {mcdir}",
			Blocks: blocks(Failover, Switch), Needs: needs(Supervisor), Once: true, Judge: paired,
		},
		{
			ID: "failover-enabled", What: "automatic failover is enabled", Severity: Warning,
			Why:    "a fault waits for an operator",
			Mend:   "mcctl enable-failover -M {mcdir}",
			Blocks: blocks(Failover), Needs: needs(Supervisor), Judge: failoverEnabled,
		},
		{
			ID: "postgres-runs", What: "PostgreSQL is open on the primary and a standby on the other server", Severity: Error,
			Why:    "a server that is down or hangs can neither serve nor take over",
			Mend:   "mcctl explain -M {mcdir} tells what the supervisor does about it; and see the log of PostgreSQL",
			Blocks: blocks(Failover, Switch), Needs: needs(Supervisor), Judge: postgresRuns,
		},
		{
			ID: "streaming", What: "the standby streams and is close", Severity: Error,
			Why:    "it cannot be attached, and commits that wait for it stall",
			Mend:   "mcctl status -M {mcdir} shows how far it is; and see the log of PostgreSQL on the standby",
			Blocks: blocks(Switch), Needs: needs(Supervisor), Judge: streaming,
		},
		{
			ID: "disk", What: "this server's disk answers", Severity: Error,
			Why:    "a server with a failing disk cannot take over",
			Mend:   "dmesg | tail; df -h {data}",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(Supervisor), Judge: diskAnswers,
		},
		{
			ID: "watch", What: "the watch runs, unless systemd or the like stands in for it", Severity: Warning,
			Why:   "nobody else starts the supervisor again when it dies, and without it the pair can neither fail over nor switch",
			Mend:  "mcctl stop --mc-only -M {mcdir} && mcctl start -M {mcdir}",
			Needs: needs(Supervisor), Judge: watched,
		},
	}
}

func peerReached(v View) []Trouble {
	if v.Me.Supervisor.Linked {
		return nil
	}
	c := v.Me.Config
	return one(fmt.Sprintf("%s at %s is not reached: %s", c.Other(), c.Endpoint(c.Other()).Admin, v.Me.Supervisor.LinkError))
}

func arbiterReached(v View) []Trouble {
	known, where := v.Me.Supervisor, v.Me.Config.Pair.Arbiter.Where()
	switch {
	case !known.Reached && where == "": // the servers keep it themselves
		return one(cmp.Or(known.ArbiterError, "the primary, which holds the record, is not heard"))
	case !known.Reached:
		return one(fmt.Sprintf("the arbiter at %s is not reached: %s", where, cmp.Or(known.ArbiterError, "it does not answer")))
	case known.ArbiterError != "":
		return one(fmt.Sprintf("the arbiter at %s is reached, but would take no change: %s", where, known.ArbiterError))
	}
	return nil
}

func paired(v View) []Trouble {
	if v.Me.Supervisor.Record.Mode == pair.Paired {
		return nil
	}
	text := "the record says: " + v.Me.Supervisor.Record.String()
	if v.Me.Supervisor.Held {
		text += "; the standby was detached by an operator"
	}
	return one(text)
}

func failoverEnabled(v View) []Trouble {
	if v.Me.Supervisor.Failover {
		return nil
	}
	return one("automatic failover is disabled on " + string(v.Me.Server))
}

func postgresRuns(v View) []Trouble {
	if is := v.Me.Supervisor.Postgres; is != "open" && is != "standby" {
		return one("PostgreSQL is " + is)
	}
	return nil
}

func streaming(v View) []Trouble {
	if is := v.Me.Supervisor.Stream; is != "close" {
		return one("replication is " + is + ", not close")
	}
	return nil
}

func diskAnswers(v View) []Trouble { return ifAny(v.Me.Supervisor.DiskError) }

func watched(v View) []Trouble {
	if !v.Me.Supervisor.Unwatched {
		return nil
	}
	return one("the supervisor of " + string(v.Me.Server) + " runs, but its watch has gone")
}

// pairChecks compare the two servers.
func pairChecks() []Check {
	return []Check{
		{
			ID: "pair-toml", What: "pair.toml says the same on both servers", Severity: Error,
			Why:    "servers with different timings or addresses judge each other by different rules",
			Mend:   "make {mcdir}/pair.toml the same on both servers, and restart the supervisors: mcctl stop --mc-only -M {mcdir} && mcctl start -M {mcdir}",
			Blocks: blocks(Failover), Both: true, Once: true, Judge: samePair,
		},
		{
			ID: "mcctl-version", What: "both servers run the same mcctl", Severity: Warning,
			Why:  "meant for the moments of an update only",
			Mend: "install the newer one on both servers, then: mcctl stop --mc-only -M {mcdir} && mcctl start -M {mcdir}",
			Both: true, Once: true, Judge: sameMcctl,
		},
		{
			ID: "postgres-version", What: "both servers run the same version of PostgreSQL", Severity: Warning,
			Why:   "minor versions may differ during an update, standby first; majors can never replicate",
			Mend:  "update PostgreSQL on {me} to {want} and restart it",
			Needs: needs(PostgreSQL), Both: true, Once: true, Judge: samePostgres,
		},
	}
}

func samePair(v View) []Trouble {
	a, b := v.Me.Config.Pair, v.Other.Config.Pair
	b.Arbiter.Etcd = b.Arbiter.Etcd.Rebased(v.Other.Config.Dir, v.Me.Config.Dir) // which may differ
	if reflect.DeepEqual(a, b) {
		return nil
	}
	differ := ""
	for i, t := 0, reflect.TypeOf(a); i < t.NumField(); i++ {
		if !reflect.DeepEqual(reflect.ValueOf(a).Field(i).Interface(), reflect.ValueOf(b).Field(i).Interface()) {
			differ += " " + t.Field(i).Tag.Get("toml")
		}
	}
	return one("pair.toml of the running supervisors differs in:" + differ)
}

func sameMcctl(v View) []Trouble {
	if v.Me.Mcctl == v.Other.Mcctl {
		return nil
	}
	return one(fmt.Sprintf("mcctl is %s on %s and %s on %s", v.Me.Mcctl, v.Me.Server, v.Other.Mcctl, v.Other.Server))
}

func samePostgres(v View) []Trouble {
	if v.Me.Postgres.Version == v.Other.Postgres.Version {
		return nil
	}
	return one(fmt.Sprintf("PostgreSQL is %s on %s and %s on %s", v.Me.Postgres.Version, v.Me.Server, v.Other.Postgres.Version, v.Other.Server), "want", v.Other.Postgres.Version)
}

// policyChecks tell what the operator has chosen to do without.
func policyChecks() []Check {
	return []Check{
		{
			ID: "no-arbiter", What: "there is an arbiter", Severity: Info,
			Why:    "without one nobody takes over from a host that is silent; only what the primary's own supervisor notices leads to a switch",
			Mend:   "set up an arbiter on a third host, then: mcctl arbiter move -M {mcdir} witness --address HOST:PORT",
			Blocks: blocks(Failover), Once: true, Judge: chosen(func(c config.Config) bool { return c.Pair.Arbiter.Kind != config.None }, "arbiter.kind is none"),
		},
		{
			ID: "no-rewind", What: "policy.rejoin allows rewind", Severity: Info,
			Why:    "an old primary is copied whole after a failover",
			Mend:   "add \"rewind\" to policy.rejoin in {mcdir}/pair.toml on both servers",
			Blocks: blocks(Rewind), Once: true, Judge: chosen(func(c config.Config) bool { return slices.Contains(c.Pair.Policy.Rejoin, config.Rewind) }, "policy.rejoin does not allow rewind"),
		},
		{
			ID: "no-rebuild", What: "policy.rejoin allows rebuild", Severity: Info,
			Why:    "a server whose data cannot be rewound waits for an operator",
			Mend:   "add \"rebuild\" to policy.rejoin in {mcdir}/pair.toml on both servers",
			Blocks: blocks(Rebuild), Once: true, Judge: chosen(func(c config.Config) bool { return slices.Contains(c.Pair.Policy.Rejoin, config.Rebuild) }, "policy.rejoin does not allow rebuild"),
		},
	}
}

// chosen judges the pair's configuration.
func chosen(right func(config.Config) bool, text string) func(View) []Trouble {
	return func(v View) []Trouble {
		if right(v.Me.Config) {
			return nil
		}
		return one(text)
	}
}
