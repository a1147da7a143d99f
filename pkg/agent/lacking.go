package agent

import (
	"context"
	"fmt"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// startsBesideItsPrimary: a standby that has yet to let anybody in could get what it lacks.
func (a *Agent) startsBesideItsPrimary(s board.Sight) bool {
	return s.PID != 0 && board.Postgres(s) == decide.PostgresStarting && s.Marked && !s.Names(a.config.Me()) &&
		s.Link.Connected && s.Report.Postgres == wire.ReportOpen && !s.Stranded
}

// seeLacking notes that a standby which starts after a rewind or a copy needs log that the
// primary has removed: it would ask for that for ever. It must have lacked the same before.
// Where there is an archive only that can tell, so it is waited for, and an operator is told.
func (a *Agent) seeLacking(ctx context.Context, s board.Sight, before pair.LSN) (at pair.LSN) {
	ctx, cancel := a.clock.Timeout(ctx, divergencePatience, nil)
	defer cancel()
	at, err := a.server.Lacks()
	if err != nil || at == 0 || at != before {
		return at
	}
	var has wire.HoldingsAnswer
	if err := a.link.Call(ctx, wire.KindHoldings, wire.HoldingsRequest{}, &has); err != nil || at >= has.OldestWAL {
		return at
	}
	why := fmt.Sprintf("this standby cannot start: it lacks the log from %s on, and %s has removed what comes before %s", at, a.config.Other(), has.OldestWAL)
	archive := a.hands.HasArchive()
	if archive {
		why += archiveHint(s)
	}
	a.cannotStream(s, why, false)
	a.board.Note(func(now *board.Sight) { now.Stranded = now.PID == s.PID && now.LookAt == 0 && !archive })
	return at
}

// archiveHint is for an operator. A rebuild that waits for the same log has to be given up
// before the next can begin.
func archiveHint(s board.Sight) string {
	first := ""
	if s.Task == decide.TaskRebuild {
		first = "mcctl rebuild --cancel, then "
	}
	return fmt.Sprintf("; unless restore_command brings it, run %smcctl rebuild, on this server", first)
}
