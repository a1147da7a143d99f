package check

import (
	"os"
	"path/filepath"
	"testing"
)

// What Debian would start: a cluster is one by its postgresql.conf, and without a
// start.conf it is started at boot.
func TestDebianClusters(t *testing.T) {
	root := t.TempDir()
	for name, start := range map[string]string{"auto": "# comment\nauto\n", "manual": "manual\n", "none": ""} {
		dir := filepath.Join(root, "etc/postgresql/15", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{"postgresql.conf": "data_directory = '/d'\n", "start.conf": start}
		for file, text := range files {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	var found []string
	for _, u := range units(root, "/d") {
		found = append(found, u.Name)
	}
	if len(found) != 2 || found[0] != "postgresql@15-auto.service" || found[1] != "postgresql@15-none.service" {
		t.Errorf("found %q", found)
	}
}
