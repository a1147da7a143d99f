package postgres

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

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
