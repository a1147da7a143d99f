package main

import (
	"context"
	"fmt"

	"mcctl/test/bench/stage"
)

// scene is one thing that happens to the pair.
type scene struct {
	mark  string // its name in the picture and the table
	words func(acting) string
	act   func(context.Context, *story) error
	moves bool // another server is primary afterwards
	apart bool // the pair is not whole afterwards; the next scene mends it
	peers string
}

// scenes in their order.
func scenes() []scene {
	return []scene{
		{
			mark: "standby stop", apart: true, act: stopStandby,
			words: func(a acting) string { return fmt.Sprintf("mcctl stop: the standby %s leaves", a.standby) },
			peers: "-",
		},
		{
			mark: "standby start", act: startStandby,
			words: func(acting) string { return "mcctl start: it comes back" },
			peers: "-",
		},
		{
			mark: "switch", moves: true, act: switchRoles,
			words: func(a acting) string { return fmt.Sprintf("mcctl switch: %s becomes primary", a.standby) },
			peers: others["switch"],
		},
		{
			mark: "kill -9 PostgreSQL", moves: true, act: killPostmaster,
			words: func(a acting) string { return fmt.Sprintf("kill -9 of PostgreSQL on %s, the primary", a.primary) },
			peers: others["kill-postmaster"],
		},
		{
			mark: "kill -9 server", moves: true, act: killServer,
			words: func(a acting) string {
				return fmt.Sprintf("kill -9 of everything on %s, the primary: PostgreSQL, supervisor and its watch", a.primary)
			},
			peers: others["kill-server"],
		},
	}
}

func stopStandby(ctx context.Context, s *story) error {
	_, err := s.Run(ctx, s.status.standby, "stop")
	return err
}

func switchRoles(ctx context.Context, s *story) error {
	_, err := s.Run(ctx, s.status.primary, "switch")
	return err
}

func startStandby(ctx context.Context, s *story) error {
	_, err := s.Run(ctx, s.status.standby, "start")
	return err
}

func killPostmaster(_ context.Context, s *story) error {
	return stage.Kill(s.Lab.Pids().Servers[s.status.primary].Postmaster)
}

// killServer leaves nobody to start the server again, so an operator does, as
// systemd would.
func killServer(ctx context.Context, s *story) error {
	if err := stage.Kill(stage.Heads(s.Lab.Pids().Servers[s.status.primary])...); err != nil {
		return err
	}
	if err := s.clients.WaitCalm(ctx, calm); err != nil {
		return err
	}
	s.say("  clients write to %s; mcctl start on %s", s.status.standby, s.status.primary)
	_, err := s.Run(ctx, s.status.primary, "start")
	return err
}
