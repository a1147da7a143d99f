package check_test

import (
	"testing"

	"mcctl/pkg/check"
	"mcctl/test/made"
)

// TestDocs keeps docs/check.md the table that runs.
func TestDocs(t *testing.T) {
	made.Part(t, "../../docs/check.md", "checks", check.Markdown(check.Table()))
}
