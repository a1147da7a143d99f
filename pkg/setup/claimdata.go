package setup

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/shell"
)

// ErrSupervised tells that a data directory is not this command's to work on. What is
// edited here is what that supervisor's pair relies on, synchronous_standby_names above
// all; and what is restarted or copied here is what it watches.
var ErrSupervised = errors.New("a supervisor works on it already")

// ErrPaired tells the same of a supervisor that will come back.
var ErrPaired = errors.New("its supervisor was stopped, and the record says paired")

// isUnsupervised looks, before anything is shown or made, whether the data directory
// may be claimed.
func (s *Setup) isUnsupervised(given Plan) error {
	in := s.claimable(given)
	var other *postgres.ClaimedError
	if err := in.Claimed(); errors.As(err, &other) { // what cannot be opened has its own words later
		return s.ofClaim(err)
	}
	return s.isLeft(in)
}

// isLeft refuses the data of a server whose supervisor was only stopped: as long as its
// record says that commits wait for the standby, somebody may rely on that.
func (s *Setup) isLeft(in *postgres.Instance) error {
	var r record.Record
	dir := in.LastHolder().Dir
	if dir == "" || dir == s.Dir || durable.Machine.ReadJSON(filepath.Join(dir, "record.json"), &r) != nil || !r.Exists() || r.Mode == pair.Alone {
		return nil
	}
	return fmt.Errorf("use data directory %s: %w (management directory %s): go on with that one; or take this server out of its pair first: mcctl start -M %[3]s, then mcctl detach -M %[3]s, then mcctl stop --mc-only -M %[3]s", in.Data, ErrPaired, shell.Word(dir))
}

// claimData keeps supervisors and other calls from the data directory until release.
func (s *Setup) claimData(given Plan) (release func(), err error) {
	in := s.claimable(given)
	if err := os.MkdirAll(filepath.Dir(in.Data), 0o700); err != nil { // the lock lies there
		return nil, fmt.Errorf("make directory: %w", err)
	}
	release, err = in.Claim(postgres.Holder{Dir: s.Dir, Init: true})
	return release, s.ofClaim(err)
}

// claimable has the data directory of the plan that an earlier call has noted, or else
// of the given one.
func (s *Setup) claimable(given Plan) *postgres.Instance {
	return &postgres.Instance{Data: cmp.Or(s.state.Plan.DataDirectory, given.DataDirectory)}
}

// ofClaim says what to do about a data directory that another one works on.
func (s *Setup) ofClaim(err error) error {
	var other *postgres.ClaimedError
	if !errors.As(err, &other) {
		return err
	}
	if other.Init {
		return fmt.Errorf("use data directory %s: %w", other.Data, ErrHeld)
	}
	who := ""
	if other.Dir != "" && other.PID > 0 {
		who = fmt.Sprintf(" (pid %d, management directory %s)", other.PID, other.Dir)
	}
	dir := cmp.Or(other.Dir, "MCDIR")
	return fmt.Errorf("use data directory %s: %w%s: go on with that management directory; or take this server out of its pair first: mcctl detach -M %[4]s, then mcctl stop --mc-only -M %[4]s", other.Data, ErrSupervised, who, shell.Word(dir))
}
