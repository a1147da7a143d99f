package settings

import "testing"

func TestCommitsWait(t *testing.T) {
	for value, want := range map[string]bool{
		"on": true, "ON": true, "true": true, "Yes": true, "1": true, "remote_apply": true, "Remote_Apply": true,
		"off": false, "false": false, "NO": false, "0": false, "local": false, "Local": false, "remote_write": false, "": false, "nonsense": false,
	} {
		if got := CommitsWait(value); got != want {
			t.Errorf("%q: %t", value, got)
		}
	}
}
