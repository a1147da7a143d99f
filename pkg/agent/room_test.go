package agent

import (
	"slices"
	"testing"

	"mcctl/pkg/decide"
)

// Every detach is either a loss that counts, or somebody wanted it.
func TestALostStandbyIsCountedByWhateverRuleItIsDetached(t *testing.T) {
	wanted := []int{203, 204, 250, 251}
	for _, r := range decide.Rules {
		if r.Do == decide.Detach && byFault(r.ID) == slices.Contains(wanted, r.ID) {
			t.Errorf("rule %d: counts as a fault: %v", r.ID, byFault(r.ID))
		}
		if r.Do != decide.Detach && byFault(r.ID) {
			t.Errorf("rule %d detaches nobody", r.ID)
		}
	}
}
