package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// arbiterKinds are those that a pair can have here. Scenarios are written for a
// witness; storms blow on all.
func arbiterKinds() []string { return []string{"witness", "none", "etcd", "command"} }

// hasArbiterHost tells whether host w does anything.
func (w *world) hasArbiterHost() bool { return w.arbiter == "witness" || w.arbiter == "etcd" }

// etcdUnit is what runs on host w in the place of an arbiter.
const etcdUnit = `[Unit]
Description=etcd
After=network.target
StartLimitIntervalSec=0
[Service]
Type=notify
User=postgres
ExecStart=/usr/local/bin/etcd --name w --data-dir /var/lib/mcctl/etcd --listen-client-urls http://10.77.0.3:2379 --advertise-client-urls http://10.77.0.3:2379
Restart=always
RestartSec=100ms
TimeoutStartSec=infinity
[Install]
WantedBy=multi-user.target
`

// chooseArbiter tells a server of an arbiter of a kind that mcctl init does not ask
// for, before anybody has started.
func (w *world) chooseArbiter(ctx context.Context, h *host) error {
	edit := ""
	switch w.arbiter {
	case "etcd":
		edit = `printf '\n[arbiter.etcd]\nendpoints = ["http://10.77.0.3:2379"]\n' >>pair.toml`
	case "command":
		edit = `printf '\n[commands]\narbitration = "/usr/local/bin/arbitration"\nfencing = "/usr/local/bin/fencing"\n' >>server.toml`
	default:
		return nil
	}
	_, err := h.run(ctx, "postgres", "bash", "-ec", fmt.Sprintf("cd %s\n%s\nsed -i 's/^kind = \"none\"/kind = \"%[3]s\"/' pair.toml\ngrep -q '^kind = \"%[3]s\"' pair.toml", h.mcdir(), edit, w.arbiter))
	return err
}

// The commands of the site, for the kind command. Arbitration asks whether anything
// answers at the other's supervisor; fencing asks the power switch, which is on the
// clients' side of the network.
const (
	arbitrationCommand = `#!/bin/bash
# $1 this server, $2 the other one
! timeout 2 bash -c "exec 3<>/dev/tcp/$2/27540" 2>/dev/null
`
	fencingCommand = `#!/bin/bash
# $1 monitor|command, $2 switch|detach, $3 this server, $4 the other one
set -eu
exec 3<>/dev/tcp/10.77.0.9/%d
echo "$4" >&3
read -r -t 15 answer <&3
[ "$answer" = off ]
`
)

// layOutCommands gives a server the commands of the site.
func (h *host) layOutCommands() error {
	if h.w.arbiter != "command" || h.name == "w" {
		return nil
	}
	bin := filepath.Join(h.dir(), "upper/usr/local/bin")
	return errors.Join(
		os.MkdirAll(bin, 0o755),
		os.WriteFile(filepath.Join(bin, "arbitration"), []byte(arbitrationCommand), 0o755),
		os.WriteFile(filepath.Join(bin, "fencing"), []byte(strings.Replace(fencingCommand, "%d", fmt.Sprint(powerSwitchPort), 1)), 0o755),
	)
}
