package majors

import (
	"strings"
	"testing"
)

func TestAbilitiesComeAndStay(t *testing.T) {
	for major, want := range map[int]Abilities{
		13: {},
		14: {HBAContinued: true},
		15: {HBAContinued: true, RewindConfigFile: true, DotsAsText: true},
		16: {HBAContinued: true, RewindConfigFile: true, DotsAsText: true, HBAIncludes: true},
		17: {HBAContinued: true, RewindConfigFile: true, DotsAsText: true, HBAIncludes: true, SyncSlots: true},
		18: {HBAContinued: true, RewindConfigFile: true, DotsAsText: true, HBAIncludes: true, SyncSlots: true},
	} {
		if got := Of(major); got != want {
			t.Errorf("%d: %+v, want %+v", major, got, want)
		}
		if err := Check(major); err != nil {
			t.Error(err)
		}
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	for _, major := range []int{0, 12, 19} {
		if err := Check(major); err == nil || !strings.Contains(err.Error(), "13 to 18") {
			t.Errorf("%d: %v", major, err)
		}
	}
	for format, want := range map[uint32]int{1201: 0, 1300: 288, 1700: 288, 1800: 292, 1900: 0} {
		if got := ControlSum(format); got != want {
			t.Errorf("format %d: checksum at %d, want %d", format, got, want)
		}
	}
}
