package postgres

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// AwaitsSenders tells that a postmaster which shuts down waits for its walsenders: in front of
// the shutdown checkpoint until each has stopped writing, which one whose connection takes
// no more never does, or after it (Lingers). pg_control says "in production" until that
// checkpoint begins, and what must have ended before has (WalSndWaitStopping in
// ShutdownXLOG, PM_SHUTDOWN in postmaster.c; 13 to 18).
func (in *Instance) AwaitsSenders(pid int) bool {
	if in.Lingers(pid) {
		return true
	}
	if in.statusOf(pid) != "stopping" {
		return false
	}
	c, err := in.Control()
	return err == nil && c.State == InProduction && !slices.ContainsFunc(in.childrenOf(pid), endsBefore)
}

// endsBefore: all but these processes have ended before the checkpointer shuts down.
func endsBefore(child int) bool {
	shown, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
	return err == nil && !slices.ContainsFunc([]string{"walsender", "checkpointer", "archiver", "logger", "stats collector", "io worker"},
		func(kind string) bool { return strings.Contains(string(shown), ": "+kind) })
}

// Senders are the walsenders of a postmaster by their pids, each with what it shows, as in
// "postgres: walsender mcctl_replication 192.0.2.2(40012) streaming 0/3000148": the position
// is the newest that it has sent (ps_status.c and XLogSendPhysical in walsender.c, 13 to 18).
func (in *Instance) Senders(pid int) map[int]string {
	all := map[int]string{}
	for _, child := range in.childrenOf(pid) {
		shown, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
		if err == nil && strings.Contains(string(shown), ": walsender ") {
			all[child] = strings.TrimRight(string(shown), "\x00 ")
		}
	}
	return all
}

// EndSender ends a walsender, as pg_terminate_backend would where nobody can ask for that
// any more. A server that waits for it in its shutdown goes on to its clean end
// (TestFactAServerThatLingersEndsWithItsSender).
func (in *Instance) EndSender(sender int) error {
	if err := in.signal(sender, syscall.SIGTERM); err != nil {
		return fmt.Errorf("end walsender: %w", err)
	}
	return nil
}
