package check

import (
	"fmt"
	"strings"
	"time"

	"mcctl/pkg/shell"
)

// expiresSoon is how long before its end a certificate is warned of.
const expiresSoon = 30 * 24 * time.Hour

// connectionChecks try what the standby, pg_rewind and pg_basebackup would do, now
// and from both servers: pg_hba.conf, passwords and certificates in one go.
func connectionChecks() []Check {
	return []Check{
		{
			ID: "replication-connection", What: "a replication connection to the other server works", Severity: Error,
			Why:    "after a switch or failover this server must stream from there",
			Mend:   "on {other}: see that PostgreSQL runs, let {user} of this host in for replication in pg_hba.conf and reload; here: see that {passfile} has its password; then: mcctl check -M {mcdir}",
			Blocks: blocks(Rewind, Rebuild), Needs: needs(Connection), Judge: replicates,
		},
		{
			ID: "ordinary-connection", What: "an ordinary connection as the replication user works", Severity: Error,
			Why:    "pg_rewind and the checks before a copy need one",
			Mend:   "on {other}: see that PostgreSQL runs, let {user} of this host in to the database in pg_hba.conf and reload; here: see that {passfile} has its password; then: mcctl check -M {mcdir}",
			Blocks: blocks(Rewind, Rebuild), Needs: needs(Connection), Judge: connects,
		},
		{
			ID: "rewind-rights", What: "the replication user may execute the functions that pg_rewind calls", Severity: Error,
			Why:    "without them an old primary must be copied whole after a failover",
			Mend:   "on the primary let {user} execute them: {psql} -c {grant}",
			Blocks: blocks(Rewind), Needs: needs(Connection), Judge: rewindRights,
		},
		{
			ID: "system-identifier", What: "both servers are copies of one cluster", Severity: Error,
			Why:    "a server of another cluster can never follow this one",
			Mend:   "see that data_directory in server.toml and the replication addresses in {mcdir}/pair.toml are those of this pair; else rebuild the server that is wrong",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(Files, Connection), Judge: systemIdentifier,
		},
	}
}

func replicates(v View) []Trouble { return unreached(v, "a replication connection", v.Me.Replicates) }

func connects(v View) []Trouble { return unreached(v, "an ordinary connection", v.Me.Connects) }

func unreached(v View, what string, r Reach) []Trouble {
	if r.Error == "" {
		return nil
	}
	return one(fmt.Sprintf("%s to %s failed: %s", what, v.Me.Config.Endpoint(v.Me.Config.Other()).Replication, r.Error))
}

func rewindRights(v View) []Trouble {
	if len(v.Me.Connects.Lacks) == 0 {
		return nil
	}
	list := "pg_catalog." + strings.Join(v.Me.Connects.Lacks, ", pg_catalog.")
	grant := shell.Word("grant execute on function " + list + " to " + ident(v.Me.Config.Server.Replication.User))
	return one("may not be executed on "+string(v.Me.Config.Other())+": "+list, "grant", grant)
}

func systemIdentifier(v View) (found []Trouble) {
	for _, r := range []Reach{v.Me.Replicates, v.Me.Connects} {
		if r.SystemID != 0 && r.SystemID != v.Me.Control.SystemID {
			return one(fmt.Sprintf("the system identifier is %d here and %d at %s", v.Me.Control.SystemID, r.SystemID, v.Me.Config.Endpoint(v.Me.Config.Other()).Replication))
		}
	}
	return nil
}

// certificateChecks look at the certificates of the supervisors.
func certificateChecks() []Check {
	return []Check{
		{
			ID: "certificate", What: "authority, certificate and key fit together and are valid now", Severity: Error,
			Why:    "the supervisors and the arbiter do not talk to a server that cannot show them",
			Mend:   "make a new certificate {name} with the pair's authority, and put it where [tls] in {mcdir}/server.toml says; no restart is needed: the next connection shows it",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Judge: certificate,
		},
		{
			ID: "certificate-expires", What: "authority and certificate are valid for 30 more days", Severity: Warning,
			Why:  "on that day the servers stop to know each other",
			Mend: "make a new certificate {name} with the pair's authority, and put it where [tls] in {mcdir}/server.toml says; no restart is needed: the next connection shows it",
			Judge: func(v View) []Trouble {
				left := v.Me.Expires.Sub(v.Scene.Now)
				if v.Me.Expires.IsZero() || left <= 0 || left >= expiresSoon {
					return nil
				}
				return one(fmt.Sprintf("ends %s, in %.0f days", v.Me.Expires.Format(time.DateOnly), left.Hours()/24), "name", certificateName(v.Me))
			},
		},
	}
}

func certificate(v View) []Trouble {
	switch {
	case v.Me.Certificate != "":
		return one(v.Me.Certificate, "name", certificateName(v.Me))
	case !v.Me.Expires.IsZero() && v.Me.Expires.Before(v.Scene.Now):
		return one("ended "+v.Me.Expires.Format(time.DateOnly), "name", certificateName(v.Me))
	}
	return nil
}

func certificateName(s *Side) string {
	return "mcctl://" + s.Config.Pair.Name + "/" + string(s.Server)
}
