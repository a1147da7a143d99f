package pair

import (
	"strings"
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/wire"
)

// The server that took over is lost before the old primary, which crashed, has come back as
// its standby. The old one has what it had; the other one parts from it, and an operator
// gives it up.
func TestAnOldPrimaryIsForcedWhenTheNewOneIsGone(t *testing.T) {
	s := newQuietStage(t, lab.Options{Profile: "tight"})
	s.sql(one, "create table t as select 1 as i")
	s.killServer(one)
	s.until("server2 took over", two, alone(two))
	s.until("server2 is open", two, func(st wire.Status) bool { return st.Servers[1].Postgres == wire.ReportOpen })
	s.sql(two, "insert into t values (2)")
	s.killServer(two)
	s.startAlone(one)
	s.until("server1 rests", one, func(st wire.Status) bool {
		return alone(two)(st) && st.Arbiter.Reached && st.Servers[0].Postgres == "down" && st.Servers[1].Supervisor == "refused" && st.Servers[1].Postgres == "down"
	})
	out, err := s.try("switch", "--force", "-M", s.lab.Mcdir(one))
	if exitOf(err) != 4 || !strings.Contains(out, "nothing that was written since server2 took over is here: all of it IS LOST") {
		t.Errorf("what may be lost: %v\n%s", err, out)
	}
	s.mcctl("switch", "--force", "--yes", "-M", s.lab.Mcdir(one))
	if n := s.ask(one, "with w as (insert into t values (3) returning i) select count(*)::text from t"); n != "1" {
		t.Errorf("server1 has %s rows of before", n)
	}
	s.startAlone(two)
	s.until("server2 leaves it to an operator", two, func(st wire.Status) bool {
		return strings.Contains(st.NextStep, "to give up what is here: mcctl rebuild")
	})
	s.mcctl("rebuild", "--yes", "-M", s.lab.Mcdir(two))
	s.paired(one)
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.paired(two)
	if rows := s.ask(two, "select string_agg(i::text, ',' order by i) from t"); rows != "1,3" {
		t.Errorf("the rows are %s", rows)
	}
}
