package tidy

import "testing"

func TestWallClock(t *testing.T) {
	holds(
		t, WallClock,
		one("pkg/agent/x.go", "package agent\n\nimport \"time\"\n\nvar a = time.Now().Unix()\n", "pkg/agent/x.go:5: wall time"),
		one("pkg/board/x.go", "package board\n\nimport \"time\"\n\nvar a = time.Unix(1, 0)\n", "pkg/board/x.go:5: wall time"),
		one("pkg/agent/y.go", "package agent\n\nimport \"time\"\n\nvar began = time.Now()\n\nfunc age() time.Duration { return time.Since(began) }\n"),
		one("pkg/cli/x.go", "package cli\n\nimport \"time\"\n\nvar a = time.Now().Unix()\n"),
	)
}
