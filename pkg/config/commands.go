package config

import (
	"time"

	"mcctl/pkg/hook"
)

// Commands are the programs that the site wants to have called; an empty path is
// none. They belong to one server: paths and what they do may differ.
type Commands struct {
	// Fencing cuts the other server off before a forced switch and before a detach, and
	// with arbiter.kind = "command" before it is replaced or detached by itself. It is
	// killed after FencingTimeout.
	Fencing        string   `toml:"fencing"`
	FencingTimeout Duration `toml:"fencing_timeout"`
	// Arbitration says whether the other server is dead, within ArbitrationTimeout. Only
	// arbiter.kind = "command" asks it.
	Arbitration        string   `toml:"arbitration"`
	ArbitrationTimeout Duration `toml:"arbitration_timeout"`
	// PostSwitch is called on the new primary after any change of roles, and killed
	// after PostSwitchTimeout.
	PostSwitch        string   `toml:"post_switch"`
	PostSwitchTimeout Duration `toml:"post_switch_timeout"`
	// PreDetach is called on both servers before the standby is detached, and killed
	// after PreDetachTimeout, which is also how long an operator's detach waits for the
	// other server's command.
	PreDetach        string   `toml:"pre_detach"`
	PreDetachTimeout Duration `toml:"pre_detach_timeout"`
	// PostAttach is called on both servers after the standby was attached, and killed
	// after PostAttachTimeout.
	PostAttach        string   `toml:"post_attach"`
	PostAttachTimeout Duration `toml:"post_attach_timeout"`
	// Event is called for every line of mcctl events, and killed after EventTimeout.
	Event        string   `toml:"event"`
	EventTimeout Duration `toml:"event_timeout"`
}

// The defaults are Mirroring Controller's: fencing_command_timeout,
// arbitration_command_timeout and status_change_command_timeout.
func defaultCommands() Commands {
	seconds := func(n time.Duration) Duration { return Duration{n * time.Second} }
	return Commands{
		FencingTimeout: seconds(20), ArbitrationTimeout: seconds(30), PostSwitchTimeout: seconds(20),
		PreDetachTimeout: seconds(20), PostAttachTimeout: seconds(20), EventTimeout: seconds(10),
	}
}

// command is one of Commands.
type command struct {
	kind    hook.Kind
	path    *string
	timeout Duration
}

func (c *Commands) each() []command {
	return []command{
		{hook.Fencing, &c.Fencing, c.FencingTimeout},
		{hook.Arbitration, &c.Arbitration, c.ArbitrationTimeout},
		{hook.PostSwitch, &c.PostSwitch, c.PostSwitchTimeout},
		{hook.PreDetach, &c.PreDetach, c.PreDetachTimeout},
		{hook.PostAttach, &c.PostAttach, c.PostAttachTimeout},
		{hook.Event, &c.Event, c.EventTimeout},
	}
}

// Configured are the commands that have a path.
func (c *Commands) Configured() map[hook.Kind]hook.Command {
	all := map[hook.Kind]hook.Command{}
	for _, one := range c.each() {
		if *one.path != "" {
			all[one.kind] = hook.Command{Path: *one.path, Timeout: one.timeout.Duration}
		}
	}
	return all
}

func (c *Commands) resolve(dir string) {
	for _, one := range c.each() {
		absolute(dir, one.path)
	}
}

// commandTimeoutMax bounds what an operator's command waits for one of these.
const commandTimeoutMax = 10 * time.Minute

// check looks at the files: a fencing command that is found missing when it is
// needed is found too late.
func (c *Commands) check(at *source) {
	for _, one := range c.each() {
		key := "commands." + string(one.kind)
		if t := one.timeout.Duration; t <= 0 || t > commandTimeoutMax {
			at.complain(key+"_timeout", "%s is not usable; write more than 0 and at most %s", t, commandTimeoutMax)
		}
		if *one.path == "" {
			continue
		}
		if err := hook.Judge(*one.path); err != nil {
			at.complain(key, "%v", err)
		}
	}
}
