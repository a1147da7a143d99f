package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/durable"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// moveHere is a standby's part of a move: the primary asks.
func (a *Agent) moveHere(ctx context.Context, body json.RawMessage) (any, error) {
	var q wire.MoveRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if s := a.board.Read(); s.Names(a.config.Me()) {
		return nil, fmt.Errorf("move the arbiter: %w: %s is the primary itself", wire.ErrRefused, a.config.Me())
	}
	return a.moveStep(ctx, q)
}

// movePlan is what a move does to this server's pair.toml.
type movePlan struct {
	next    *config.Config
	text    string // of the new file
	was     []byte
	done    bool // it is in force
	written bool
}

// planMove reads the files as they are. One that names an arbiter which is not in force
// yet is the operator's: it comes into force with the next start, whatever happens here.
func (a *Agent) planMove(q wire.MoveRequest) (p movePlan, err error) {
	if p.was, err = os.ReadFile(a.config.Path(config.PairFile)); err != nil {
		return p, fmt.Errorf("read %s: %w", config.PairFile, err)
	}
	server, err := os.ReadFile(a.config.Path(config.ServerFile))
	if err != nil {
		return p, fmt.Errorf("read %s: %w", config.ServerFile, err)
	}
	if p.next, p.text, err = config.ReplaceArbiter(a.config.Dir, string(p.was), string(server), q.Arbiter); err != nil {
		return p, fmt.Errorf("move the arbiter: %w: %w", wire.ErrRefused, err)
	}
	now, err := config.Check(a.config.Dir, string(p.was), string(server))
	if err != nil {
		return p, err
	}
	inForce, to, file := &a.config.Pair.Arbiter, &p.next.Pair.Arbiter, &now.Pair.Arbiter
	p.done, p.written = inForce.Same(to), file.Same(to)
	if !p.written && !file.Same(inForce) {
		return p, fmt.Errorf("move the arbiter: %w: %s of %s names %s, but %s is in force: write that there again, or restart the supervisor first", wire.ErrRefused, config.PairFile, a.config.Me(), file, inForce)
	}
	return p, nil
}

// moveStep does one step on this server.
func (a *Agent) moveStep(ctx context.Context, q wire.MoveRequest) (here wire.MoveHere, err error) {
	if q.Step == wire.MoveForget {
		return here, a.forgetMove()
	}
	p, err := a.planMove(q)
	if err != nil {
		return here, err
	}
	here = wire.MoveHere{From: a.config.Pair.Arbiter.String(), To: p.next.Pair.Arbiter.String(), Done: p.done}
	if p.done {
		return here, nil
	}
	switch q.Step {
	case wire.MoveCheck:
		return here, a.mayTurn(ctx, p, q)
	case wire.MovePrepare:
		if err := a.mayRewrite(p); err != nil {
			return here, err
		}
		return here, a.rememberMove(q)
	case wire.MoveTurn:
		a.board.Note(func(s *board.Sight) { s.Learn(q.Record, false) })
		return here, a.turn(p, record.Record{})
	}
	return here, fmt.Errorf("%w: %q is no step of a move", wire.ErrRefused, q.Step)
}

// mayRewrite: pair.toml can be written. Once the old record is closed it is too late to
// find that it is root's, or a link to where only root may write.
func (a *Agent) mayRewrite(p movePlan) error {
	if p.written {
		return nil
	}
	if err := durable.TryReplace(a.config.Path(config.PairFile), []byte(p.text)); err != nil {
		return fmt.Errorf("move the arbiter: %w: %s of %s cannot be replaced: give the file, and the directory in which it really lies, to the user that runs mcctl: %w", wire.ErrRefused, config.PairFile, a.config.Me(), err)
	}
	return nil
}

// mayTurn: nothing is under way here, and this server can use the new arbiter.
func (a *Agent) mayTurn(ctx context.Context, p movePlan, q wire.MoveRequest) error {
	s := a.board.Read()
	if s.Task != decide.NoTask || s.Doing == decide.Rebuild || s.Doing == decide.Rejoin || s.Doing == decide.Switch {
		return fmt.Errorf("move the arbiter: %w: %s is busy: %s", wire.ErrRefused, a.config.Me(), cmp.Or(string(s.Doing), s.Task.String()))
	}
	if err := a.mayRewrite(p); err != nil {
		return err
	}
	if _, _, reached := a.keeper.Seen(); q.Gone && reached {
		return fmt.Errorf("move the arbiter: %w: %s reaches the present one, %s: it is not gone", wire.ErrRefused, a.config.Me(), &a.config.Pair.Arbiter)
	}
	ctx, cancel := a.boundedMove(ctx)
	defer cancel()
	holds, err := a.tryArbiter(ctx, p.next)
	if err != nil {
		return fmt.Errorf("move the arbiter: %w: %s does not reach the new one: %v", wire.ErrRefused, a.config.Me(), err)
	}
	if q.Record.NewerThan(s.Record) {
		s.Record = q.Record
	}
	if holds.Exists() && (holds.Moved == "" || !s.Record.NewerThan(holds)) {
		return fmt.Errorf("move the arbiter: %w: the new one, %s, holds a record of this pair: %s; is it the present arbiter by another name? If nobody goes by that record, remove it there and try again", wire.ErrRefused, &p.next.Pair.Arbiter, holds)
	}
	return nil
}

// tryArbiter reaches an arbiter without telling it anything of the pair.
func (a *Agent) tryArbiter(ctx context.Context, c *config.Config) (record.Record, error) {
	switch c.Pair.Arbiter.Kind {
	case config.Witness:
		return arbiter.TryWitness(ctx, c.Pair.Arbiter.Address, a.tls.Client(arbiterName))
	case config.Etcd:
		return arbiter.TryEtcd(ctx, arbiter.EtcdOf(c))
	}
	return record.Record{}, nil
}

// turn writes pair.toml and has the supervisor begin anew with it.
func (a *Agent) turn(p movePlan, shut record.Record) error {
	if err := a.rewrite(p, shut); err != nil {
		return err
	}
	a.beginAnew()
	return nil
}

// beginAnew is like a crash: it ends all that was asked of the old arbiter. What waits
// for an answer from here gets it first.
func (a *Agent) beginAnew() { a.clock.After(lingering, func() { a.group.stop(ErrAgain) }) }

// saveKnown saves what is known before this server goes by another arbiter. Without one
// its own copy is the record, and an older one would be an older reign.
func (a *Agent) saveKnown(shut record.Record) error {
	if shut.Primary != a.config.Me() {
		shut.Moved = ""
		a.board.Note(func(s *board.Sight) { s.Learn(shut, false) })
	}
	return a.saveCopy()
}

// rewrite writes pair.toml: from now on whoever starts here uses the new arbiter. shut is
// the closed record of the old one, where the primary has read it; coming back to it one
// day takes something newer.
func (a *Agent) rewrite(p movePlan, shut record.Record) error {
	if err := a.saveKnown(shut); err != nil {
		return err
	}
	if !p.written {
		if _, err := durable.Replace(a.config.Path(config.PairFile), p.was, []byte(p.text), true); err != nil {
			return err
		}
	}
	if shut.Exists() && shut.Primary == a.config.Me() {
		shut.Moved = ""
		shut.Revision++
		if err := a.own.Save(shut); err != nil && !errors.Is(err, record.ErrConflict) {
			a.log.Warn("the record cannot be saved", "error", err)
		}
	}
	a.tell(fmt.Sprintf("%s names another arbiter, %s: the supervisor begins anew with it", config.PairFile, &p.next.Pair.Arbiter))
	a.turned.Store(true)
	return nil
}
