package postgres

import (
	"context"
	"fmt"
)

// AwaitsLog tells that a standby has replayed all that it has or can fetch from an
// archive, and waits for the primary or for the next attempt to reach it: the wait
// events RecoveryWalStream and RecoveryRetrieveRetryInterval of the startup process
// (WaitForWALToBecomeAvailable in xlog.c, 13 and 14, xlogrecovery.c, 15 to 18).
func (s *Session) AwaitsLog(ctx context.Context) (waits bool, err error) {
	err = s.conn.QueryRow(ctx, `select exists (select from pg_stat_activity where backend_type = 'startup'
  and wait_event in ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval'))`).Scan(&waits)
	if err != nil {
		return false, fmt.Errorf("ask what recovery waits for: %w", err)
	}
	return waits, nil
}
