package check

import (
	"testing"

	"mcctl/pkg/config"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// What pg_basebackup -R has left in a primary means nothing there, and what mcctl does
// not manage is not its business.
func TestOverridesThatMatter(t *testing.T) {
	managed := config.Policy{ManageSynchronizedStandbySlots: true}
	for _, c := range []struct {
		name    string
		standby bool
		policy  config.Policy
		found   bool
	}{
		{settings.SyncNames, false, managed, true},
		{settings.Conninfo, true, managed, true},
		{settings.Conninfo, false, managed, false},
		{settings.SlotName, false, managed, false},
		{settings.SyncSlots, false, managed, true},
		{settings.SyncSlots, false, config.Policy{}, false},
	} {
		me := &Side{Overrides: []Override{{Name: c.name}}, Postgres: &postgres.Inspection{InRecovery: c.standby}}
		me.Config.Pair.Policy = c.policy
		if found := managedOverride(View{Me: me}); (len(found) > 0) != c.found {
			t.Errorf("%s, standby %t: %v", c.name, c.standby, found)
		}
	}
}
