package setup

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mcctl/pkg/postgres"
)

// ErrSupervised tells that a data directory is not this command's to work on. What is
// edited here is what that supervisor's pair relies on, synchronous_standby_names above
// all; and what is restarted or copied here is what it watches.
var ErrSupervised = errors.New("a supervisor works on it already")

// isUnsupervised looks, before anything is shown or made, whether the data directory
// may be claimed.
func (s *Setup) isUnsupervised(given Plan) error {
	return s.ofClaim(s.claimable(given).Claimed())
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
	return fmt.Errorf("use data directory %s: %w%s: go on with that management directory; or take this server out of its pair first: mcctl detach -M %[4]s, then mcctl stop --mc-only -M %[4]s", other.Data, ErrSupervised, who, dir)
}
