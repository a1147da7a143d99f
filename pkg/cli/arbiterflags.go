package cli

import "github.com/spf13/cobra"

// arbiterFlag is a flag that gives a key of pair.toml below arbiter. its value: of mcctl
// arbiter move and, with arbiter- before its name, of mcctl init.
type arbiterFlag struct{ name, key, kind, help string }

func (a arbiterFlag) usage() string { return a.kind + ": " + a.help }

func arbiterFlags() []arbiterFlag {
	return []arbiterFlag{
		{"address", "address", "witness", "`host:port` of the witness"},
		{"prefix", "etcd.prefix", "etcd", "what the pair's keys begin with (default: /mcctl)"},
		{"ca", "etcd.ca", "etcd", "`file` of the authority of the members' certificates"},
		{"cert", "etcd.certificate", "etcd", "`file` of this server's certificate"},
		{"key", "etcd.key", "etcd", "`file` of its key"},
		{"user", "etcd.username", "etcd", "`name` to log in as"},
		{"password-file", "etcd.password_file", "etcd", "`file` that holds the password in one line"},
		{"fencing-delay", "fencing_delay", "command", "how much longer the standby waits before it fences, such as 5s"},
	}
}

// endpointsFlag is the one that has a list for its value.
var endpointsFlag = arbiterFlag{"endpoints", "etcd.endpoints", "etcd", "all members, such as https://192.0.2.21:2379, with commas in between"}

// fitKind refuses flags of another kind of arbiter.
func fitKind(cmd *cobra.Command, command, kind string, flags []arbiterFlag) error {
	for _, a := range flags {
		if cmd.Flags().Changed(a.name) && a.kind != kind {
			return misuse(cmd, "%s: --%s is for %s, not for %s", command, a.name, a.kind, kind)
		}
	}
	return nil
}
