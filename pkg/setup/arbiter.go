package setup

import (
	"context"
	"errors"
	"net"
	"strconv"

	"mcctl/pkg/config"
	"mcctl/pkg/wire"
)

// ErrNoAuthority tells that an arbiter has nobody to sign its certificate.
var ErrNoAuthority = errors.New("an arbiter's certificate is signed by the authority of its pairs: give a token (on the first server: mcctl init --serve-token --arbiter) with --join or --join-file, or the authority's directory with --ca")

// MakeArbiter makes an arbiter's directory. Its certificate is signed by the first
// server of a pair, for a token, or by the authority in plan.CA.
func (s *Setup) MakeArbiter(ctx context.Context, token Token, plan Plan) error {
	kind, _, _, err := s.Load()
	if err == nil {
		err = plan.absolute()
	}
	if err != nil {
		return err
	}
	if kind == "" && plan.CA == "" && token.Name == "" {
		return ErrNoAuthority
	}
	if token.Name != "" && token.Name != arbiterName {
		return errors.New("the token was made for the server " + token.Name + ", not for an arbiter; make one with mcctl init --serve-token --arbiter")
	}
	if err := errors.Join(plan.hasAuthority(), s.certificatesAreFree(arbiterName)); kind == "" && err != nil {
		return err
	}
	release, err := s.claim()
	if err != nil {
		return err
	}
	defer release()
	if err := s.begin(Arbiter, plan); err != nil {
		return err
	}
	return s.run(ctx, []step{
		{"", func(context.Context) error { return s.directories("records", "run", "log", "tls") }},
		{"making the certificate", func(ctx context.Context) error { return s.certifyArbiter(ctx, token) }},
		{"writing the configuration of the arbiter", s.writeArbiter},
		{"", func(context.Context) error { return s.finish() }},
	})
}

func (s *Setup) certifyArbiter(ctx context.Context, token Token) error {
	if ca := s.state.Plan.CA; ca != "" {
		return wire.NewCertificate(ca, "", arbiterName, s.path("tls"))
	}
	if err := s.exchange(ctx, token); err != nil {
		return err
	}
	return wire.SaveCertificate(s.path("tls"), arbiterName, s.state.Material.Certificate, s.state.Material.Authority)
}

// writeArbiter takes port and heartbeat from the pair that signed, if one did.
func (s *Setup) writeArbiter(context.Context) error {
	listen, heartbeat := config.DefaultArbiter().Listen, ""
	if s.state.Material != nil {
		p, err := config.ReadPair(s.state.Material.PairTOML)
		if err != nil {
			return err
		}
		if _, port := split(p.Arbiter.Address); port != 0 {
			listen = net.JoinHostPort("0.0.0.0", strconv.Itoa(port))
		}
		heartbeat = p.Timings.HeartbeatTimeout.String()
	}
	if s.state.Plan.Listen == "" {
		s.state.Plan.Listen = listen
	}
	return s.write(config.ArbiterFile, s.state.Plan.ownTOML(heartbeat))
}
