package shell

import (
	"os/exec"
	"testing"
)

func TestAWordIsReadBack(t *testing.T) {
	for _, text := range []string{"", "plain", "/etc/mcctl/orders", "a b", "it's", `"$HOME"`, `a\b`, "`id`", "a;b", "~", "é", "a\nb", "#", "*"} {
		got, err := exec.Command("sh", "-c", "printf %s "+Word(text)).Output()
		if err != nil || string(got) != text {
			t.Errorf("%q as %s is read as %q, %v", text, Word(text), got, err)
		}
	}
	for text, want := range map[string]string{
		"/srv/pg-15_main.d/x@y:1,2%+": "/srv/pg-15_main.d/x@y:1,2%+",
		"/srv/a b":                    "'/srv/a b'",
		"not a path":                  "not a path",
	} {
		if got := Path(text); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
