package check

import (
	"errors"
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

// The same directory counts by any name that leads there, and nothing else does whose
// name only ends or begins like it.
func TestADirectoryIsKnownByWhereItIs(t *testing.T) {
	dir := t.TempDir()
	data, link := filepath.Join(dir, "data"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Symlink(data, link), os.MkdirAll(filepath.Join(dir, "more", dir, "data"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"Environment=PGDATA=" + data:                                true,
		"Environment=PGDATA=" + data + "/":                          true,
		`Environment="PGDATA=` + link + `" LANG=C`:                  true,
		"ExecStart=/usr/bin/postgres -D " + link + ";":              true,
		"data_directory = '" + link + "'":                           true,
		"#Environment=PGDATA=" + data:                               false,
		"Environment=PGDATA=" + data + "2":                          false,
		"Environment=PGDATA=" + filepath.Join(dir, "more", data):    false,
		"Environment=PGDATA=" + filepath.Join(data, "below") + "\n": false,
	} {
		if got := names(text, data); got != want {
			t.Errorf("%s: %t", text, got)
		}
		if got := names(text, link); got != want {
			t.Errorf("%s, by the link: %t", text, got)
		}
	}
}
