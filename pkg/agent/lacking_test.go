package agent

import (
	"testing"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
)

// While a rebuild waits for the same log, mcctl rebuild would only follow that.
func TestWhoWaitsForAnArchiveIsToldWhatHelps(t *testing.T) {
	for task, want := range map[decide.Task]string{
		decide.NoTask:      "; unless restore_command brings it, run mcctl rebuild, on this server",
		decide.TaskRebuild: "; unless restore_command brings it, run mcctl rebuild --cancel, then mcctl rebuild, on this server",
	} {
		if got := archiveHint(board.Sight{Task: task}); got != want {
			t.Errorf("%s: %q", task, got)
		}
	}
}
