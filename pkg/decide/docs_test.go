package decide

import (
	"testing"

	"mcctl/test/made"
)

// TestDocs keeps docs/decisions.md the table that runs.
func TestDocs(t *testing.T) {
	made.Part(t, "../../docs/decisions.md", "rules", Markdown())
}
