package settings

import "strings"

// CommitsWait tells whether with this value of synchronous_commit a commit waits until the
// standby has it on its disk. PostgreSQL takes the names in any case, and those of a
// boolean beside its own (synchronous_commit_options in guc.c and guc_tables.c, 13 to 18;
// TestFactNamesOfSynchronousCommit in package postgres).
func CommitsWait(value string) bool {
	switch strings.ToLower(value) {
	case "on", "true", "yes", "1", "remote_apply":
		return true
	}
	return false
}
