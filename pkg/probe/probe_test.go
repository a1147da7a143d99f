package probe_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/probe"
)

// patience is far above what anything takes that a busy machine holds up.
const patience = 20 * time.Second

// An outage may begin before the first insert.
func TestTheFirstAnswerMayBeLate(t *testing.T) {
	const held = time.Second
	s := newServer(t)
	s.sql("create table mcctl_probe (run bigint, writer int, seq bigint)")
	go func() {
		_, _ = s.try(fmt.Sprintf("lock table mcctl_probe in exclusive mode; select pg_sleep(%g)", held.Seconds()))
	}()
	s.await("select count(*) > 0 from pg_stat_activity where wait_event = 'PgSleep'")
	r := stop(t, begin(t, probe.Options{URI: s.uri()}))
	if g := r.Longest; time.Duration(g.Length) < held/2 || g.Open || g.From != "nobody" || g.To == g.From || r.LongestOne.Length < g.Length {
		t.Errorf("all inserts waited from the first one on:\n%s", text(t, r))
	}
}

// begin starts a probe and waits for its first acknowledgements.
func begin(t *testing.T, opts probe.Options) *probe.Probe {
	t.Helper()
	opts.ConnectTimeout, opts.OpTimeout = patience, cmp.Or(opts.OpTimeout, patience)
	p, err := probe.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.Stop() })
	calm(t, p, 300*time.Millisecond)
	return p
}

func calm(t *testing.T, p *probe.Probe, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.WaitCalm(ctx, d); err != nil {
		t.Fatal(err)
	}
}

func stop(t *testing.T, p *probe.Probe) *probe.Result {
	t.Helper()
	r, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t *testing.T, r *probe.Result) string {
	t.Helper()
	var b strings.Builder
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestASteadyRunLosesNothing(t *testing.T) {
	s := newServer(t)
	marks := make(chan probe.Mark, 1)
	marks <- probe.Mark{Name: "nothing happens"}
	close(marks)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var r *probe.Result
	ran := make(chan error, 1)
	go func() {
		var err error
		r, err = probe.Run(ctx, probe.Options{URI: s.uri(), Marks: marks, ConnectTimeout: patience, OpTimeout: patience})
		ran <- err
	}()
	s.await("select to_regclass('mcctl_probe') is not null")
	s.await("select count(*) >= 100 and count(distinct writer) = 4 from mcctl_probe")
	end()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if !r.Safe() || r.Acked < 100 || r.Acked != r.Sent || r.Check.Rows != r.Acked || len(r.Errors) > 0 {
		t.Errorf("a server that nobody touched:\n%s", text(t, r))
	}
	if len(r.Reigns) != 1 || r.Reigns[0].Timeline != 1 || r.Connects != 4 {
		t.Errorf("want four connections to one server on timeline 1:\n%s", text(t, r))
	}
	if e, ok := r.Mark("nothing happens"); !ok || e.Gap.Length <= 0 || e.Gap.Length > r.Longest.Length {
		t.Errorf("mark %+v beside the longest gap %s", e, r.Longest.Length)
	}
	const short = 10 * time.Millisecond
	if r, err := probe.Run(t.Context(), probe.Options{URI: s.uri(), Duration: short, ConnectTimeout: patience, OpTimeout: patience}); err != nil || time.Duration(r.Length) < short {
		t.Errorf("a run that ends by itself: %+v, %v", r, err)
	}
	if n := s.sql("select count(*) from mcctl_probe"); n != "0" {
		t.Errorf("%s rows left behind (%s)", n, r.Left)
	}
}

func TestARestartIsAGapWithoutLoss(t *testing.T) {
	const away = 2 * time.Second // longer than whatever else holds the writers up
	s := newServer(t)
	p := begin(t, probe.Options{URI: s.uri(), Keep: true})
	p.Mark("stop")
	down := time.Now()
	s.stop()
	time.Sleep(away)
	s.start()
	up := time.Since(down)
	calm(t, p, 500*time.Millisecond)
	r := stop(t, p)
	e, _ := r.Mark("stop")
	if got := time.Duration(e.Gap.Length); got < away || got > up+10*time.Second || e.Gap != r.Longest {
		t.Errorf("the server was away for %s to %s, and the gap is %s:\n%s", away, up, got, text(t, r))
	}
	if !r.Safe() || len(r.Errors) == 0 || r.Overlap {
		t.Errorf("a restart must give errors and no loss:\n%s", text(t, r))
	}
	if slow := r.Latency.Max; slow >= e.Gap.Length {
		t.Errorf("an insert of %s counts though it waited in a gap", slow)
	}
	if n := s.sql("select count(*) from mcctl_probe"); n != fmt.Sprint(r.Check.Rows) {
		t.Errorf("%s rows kept of %d", n, r.Check.Rows)
	}
	t.Log("\n" + text(t, r))
	pictured(t, r)
	spoken(t, r)
}

// pictured checks that the picture is well-formed; PROBE_SVG=FILE keeps it for a look.
func pictured(t *testing.T, r *probe.Result) {
	t.Helper()
	var b bytes.Buffer
	if err := r.SVG(&b); err != nil {
		t.Fatal(err)
	}
	if name := os.Getenv("PROBE_SVG"); name != "" {
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for d := xml.NewDecoder(bytes.NewReader(b.Bytes())); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the picture is not XML: %v", err)
		}
	}
	for _, want := range []string{r.Longest.Length.String(), ">stop<", "no acknowledged row lost"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}

func spoken(t *testing.T, r *probe.Result) {
	t.Helper()
	var b bytes.Buffer
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back probe.Result
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Acked != r.Acked || back.Check.Rows != r.Check.Rows || back.Longest.Length.String() != r.Longest.Length.String() {
		t.Errorf("JSON says\n%s of\n%s", b.String(), text(t, r))
	}
}

func TestAPlantedLossIsFound(t *testing.T) {
	s := newServer(t)
	p := begin(t, probe.Options{URI: s.uri()})
	s.await("select count(*) = 2 from mcctl_probe where writer = 1 and seq in (3, 5)")
	s.sql("delete from mcctl_probe where writer = 1 and seq in (3, 5)")
	r := stop(t, p)
	if r.Safe() || r.Check.Lost != 2 || len(r.Check.LostKeys) != 2 || r.Check.LostKeys[1] != (probe.Key{Writer: 1, Seq: 5}) {
		t.Errorf("two acknowledged rows were deleted:\n%s", text(t, r))
	}
	if !strings.Contains(text(t, r), "2 ACKNOWLEDGED ROWS LOST") {
		t.Errorf("the text does not say so:\n%s", text(t, r))
	}
	if s.sql("select count(*) > 0 from mcctl_probe") != "t" {
		t.Error("the rows that prove the loss were deleted")
	}
}

// A primary that was replaced and is cut off from its supervisor stays open, first in the
// connection string, and holds all that it has acknowledged. It has no standby any more.
func TestAReplacedPrimaryIsNotReadBack(t *testing.T) {
	for _, commits := range []string{"on", "local"} {
		t.Run(commits, func(t *testing.T) {
			old := newServer(t)
			old.sql("create table mcctl_probe (run bigint, writer int, seq bigint)")
			successor := old.promoted()
			old.sql("alter system set synchronous_standby_names = 'nobody'")
			if commits == "local" {
				old.stop()
				old.start()
			}
			p := begin(t, probe.Options{URI: hosts(old, successor) + "&synchronous_commit=" + commits, OpTimeout: time.Second})
			if commits == "on" { // acknowledged until now
				old.sql("select pg_reload_conf()")
				old.await("select count(*) > 0 from pg_stat_activity where wait_event = 'SyncRep'")
			}
			r := stop(t, p)
			if r.Check.Timeline != 2 || r.Safe() || r.Check.Lost != r.Acked {
				t.Errorf("the successor has none of the rows:\n%s", text(t, r))
			}
		})
	}
}

func TestPlantedRowsAreFound(t *testing.T) {
	s := newServer(t)
	p := begin(t, probe.Options{URI: s.uri()})
	s.await("select count(*) = 1 from mcctl_probe where writer = 2 and seq = 7")
	s.sql("insert into mcctl_probe select * from mcctl_probe where writer = 2 and seq = 7")
	s.sql("insert into mcctl_probe select run, 9, 1 from mcctl_probe limit 1")
	r := stop(t, p)
	if r.Safe() || r.Check.Doubled != 1 || r.Check.Unknown != 1 || r.Check.Lost != 0 {
		t.Errorf("one row was doubled, one invented:\n%s", text(t, r))
	}
}

func TestNoReadBackIsNoVerdict(t *testing.T) {
	s := newServer(t)
	p := begin(t, probe.Options{URI: s.uri(), CheckTimeout: 300 * time.Millisecond})
	s.stop()
	time.Sleep(100 * time.Millisecond)
	r, err := p.Stop()
	if err == nil || r == nil || r.Check != nil || r.Safe() || !slices.ContainsFunc(r.Gaps, func(g probe.Gap) bool { return g.Open }) {
		t.Fatalf("the server is gone, and probe says %v:\n%s", err, text(t, r))
	}
	if s := text(t, r); !strings.Contains(s, "NOT CHECKED") || strings.Contains(s, "0 lost") {
		t.Errorf("rows that were not read back pass for kept:\n%s", s)
	}
}

// A commit whose wait for the standby is cancelled is confirmed with a warning.
func TestAWarningIsNoAcknowledgement(t *testing.T) {
	s := newServer(t)
	p := begin(t, probe.Options{URI: s.uri()})
	s.sql("alter system set synchronous_standby_names = 'nobody'")
	s.sql("select pg_reload_conf()")
	s.await("select count(*) > 0 from pg_stat_activity where wait_event = 'SyncRep'")
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		s.sql("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'")
	}
	s.sql("alter system reset synchronous_standby_names")
	s.sql("select pg_reload_conf()")
	calm(t, p, 300*time.Millisecond)
	r := stop(t, p)
	if time.Duration(r.Longest.Length) < 700*time.Millisecond || r.Check.Unacknowledged == 0 || !r.Safe() {
		t.Errorf("nobody had the rows of a second but the primary:\n%s", text(t, r))
	}
	if !strings.Contains(text(t, r), "confirmed with a warning") {
		t.Errorf("no word of it:\n%s", text(t, r))
	}
}

// Only the wait for the standby takes an insert's word back. What else a server warns of, such
// as a collation's version when a session begins, does not.
func TestAWarningOfSomethingElseIsNone(t *testing.T) {
	s := newServer(t)
	s.sql(`create table mcctl_probe (run bigint, writer int, seq bigint);
		create function warn() returns trigger language plpgsql as 'begin raise warning ''something else''; return new; end';
		create trigger warn before insert on mcctl_probe for each row when (new.seq = 1) execute function warn()`)
	p := begin(t, probe.Options{URI: s.uri(), Writers: 1})
	s.await("select count(*) = 1 from mcctl_probe where seq = 1")
	s.sql("delete from mcctl_probe where seq = 1")
	r := stop(t, p)
	if len(r.Errors) > 0 || r.Acked != r.Sent || r.Check.Lost != 1 {
		t.Errorf("the first row of a session was acknowledged and deleted:\n%s", text(t, r))
	}
}
