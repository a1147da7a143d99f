package cli

import (
	"fmt"
	"slices"
	"strings"

	"mcctl/pkg/config"
)

// arbiterKinds lists them for people.
const arbiterKinds = "witness, etcd, command or none"

func isArbiterKind(text string) bool {
	return slices.Contains([]config.ArbiterKind{config.Witness, config.Etcd, config.Command, config.None}, config.ArbiterKind(text))
}

func checkArbiterKind(text string) error {
	if !isArbiterKind(text) {
		return fmt.Errorf("%q is no kind of arbiter; write %s", text, arbiterKinds)
	}
	return nil
}

// arbitrationFlag is of mcctl init alone: the command stands in server.toml.
var arbitrationFlag = arbiterFlag{name: "arbitration-command", kind: "command", help: "`file` of this host that says whether the other server is dead"}

// initArbiterFlags are the flags that belong to a kind of arbiter.
func initArbiterFlags() (all []arbiterFlag) {
	for _, a := range append(arbiterFlags(), endpointsFlag) {
		a.name = "arbiter-" + a.name
		all = append(all, a)
	}
	return append(all, arbitrationFlag)
}

// settleArbiter takes the kind of the arbiter from the flag that is of one, and refuses
// flags of another kind.
func (o *initOptions) settleArbiter() error {
	o.Plan.Endpoints = strings.Join(o.Members, ",")
	if o.NoArbiter {
		o.Plan.ArbiterKind = string(config.None)
	}
	for _, a := range initArbiterFlags() {
		if o.Plan.ArbiterKind == "" && o.cmd.Flags().Changed(a.name) {
			o.Plan.ArbiterKind = a.kind
		}
	}
	return fitKind(o.cmd, "init", o.Plan.ArbiterKind, initArbiterFlags())
}
