package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// The words that a supervisor uses (decide's names and wire's reports).
func mcWords() (supervisors, postgres []string) {
	return []string{"here", "quiet", "lost", "refused"},
		[]string{"down", "starting", "standby", "gated", "open", "hung", "silent", "leaving", "resting", "busy"}
}

// everyServer visits every combination of one server's words.
func everyServer(role pair.Role, visit func(wire.ServerStatus)) {
	supervisors, postgres := mcWords()
	for _, supervisor := range supervisors {
		for _, pg := range postgres {
			for _, stream := range []string{"", "streaming"} {
				visit(wire.ServerStatus{Role: role, Supervisor: supervisor, Postgres: pg, Stream: stream})
				for _, part := range []wire.DiskPart{"", wire.DiskData, wire.DiskWAL, wire.DiskTablespace} {
					visit(wire.ServerStatus{Role: role, Supervisor: supervisor, Postgres: pg, Stream: stream, DiskError: "write failed", DiskPart: part})
				}
			}
		}
	}
}

// The words for a server, on every combination.
func TestServerRowOnEveryState(t *testing.T) {
	roles := []string{"primary", "standby", "none(inactivated primary)", "none(inactivated standby)", "none(unknown)"}
	parts := map[wire.DiskPart]string{"": "data", wire.DiskData: "data", wire.DiskWAL: "tran_log", wire.DiskTablespace: "tablespace"}
	procs := []string{"normal", "abnormal(postmaster)", "abnormal(wal_receiver)", "unknown"}
	for _, of := range []pair.Role{pair.Primary, pair.Standby, pair.RoleUnknown} {
		everyServer(of, func(s wire.ServerStatus) {
			role, host, proc, disk := mcRow(s)
			if !slices.Contains(roles, role) || !slices.Contains(procs, proc) || !slices.Contains([]string{"normal", "abnormal"}, host) ||
				!slices.Contains([]string{"normal", "abnormal(data)", "abnormal(tran_log)", "abnormal(tablespace)", "unknown"}, disk) {
				t.Errorf("%+v: %s, %s, %s, %s", s, role, host, proc, disk)
			}
			for what, broken := range map[string]bool{
				"a server that is lost has a normal host":          (s.Supervisor == "lost") != (host == "abnormal"),
				"a disk that fails is normal":                      (s.DiskError != "") != strings.HasPrefix(disk, "abnormal("),
				"another disk is told than the one that fails":     s.DiskError != "" && disk != "abnormal("+parts[s.DiskPart]+")",
				"a server without PostgreSQL has a role":           strings.Contains(role, "inactivated") != (of != pair.RoleUnknown && proc == "abnormal(postmaster)"),
				"what runs is not said to run":                     (s.Postgres == "open" || s.Postgres == "gated") && proc != "normal",
				"what is down is said to run":                      (s.Postgres == "down" || s.Postgres == "hung") && proc != "abnormal(postmaster)",
				"a standby that does not stream is normal":         of == pair.Standby && s.Supervisor == "here" && s.Postgres == "standby" && (s.Stream == "streaming") != (proc == "normal"),
				"more is known of a server than can be":            s.Postgres == "silent" && proc != "unknown",
				"a role in the record that is unknown has a name":  of == pair.RoleUnknown && role != "none(unknown)",
				"a primary has a walreceiver that could be broken": of == pair.Primary && proc == "abnormal(wal_receiver)",
			} {
				if broken {
					t.Errorf("%s: %+v: %s, %s, %s, %s", what, s, role, host, proc, disk)
				}
			}
		})
	}
}

// To the letter, as the manual shows it.
func TestStatusTable(t *testing.T) {
	st := paired()
	st.Servers[0].Stream, st.Servers[1].Stream = "", "streaming"
	var b bytes.Buffer
	if err := writeMcStatus(&b, st, map[pair.Server]string{"server1": "192.0.2.100", "server2": "192.0.2.110"}); err != nil {
		t.Fatal(err)
	}
	const want = `mirroring status
----------------
switchable
server_id  host_role  host         host_status  db_proc_status  disk_status
----------------------------------------------------------------------------
server1    primary    192.0.2.100  normal       normal          normal
server2    standby    192.0.2.110  normal       normal          normal
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := writeMcArbiter(&b, wire.ArbiterStatus{Kind: "witness", Address: "192.0.3.120:27541"}); err != nil {
		t.Fatal(err)
	}
	if want := "arbiter_id  host         status\n--------------------------------\narbiter     192.0.3.120  offline\n"; b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
