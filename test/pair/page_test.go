package pair

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mcctl/test/blocks"
)

// page executes the block of a page that begins so, with directories of the test's own in
// the place of the page's; path is where its programs are, besides mcctl.
func (s *stage) page(name, begins, path string, own ...string) string {
	s.Helper()
	found, err := blocks.In("../..", name)
	if err != nil {
		s.Fatal(err)
	}
	for _, b := range found {
		if !strings.HasPrefix(b.Lines[0], begins) {
			continue
		}
		cmd := exec.Command("bash", "-euc", strings.NewReplacer(own...).Replace(b.Text()))
		cmd.Env = append(os.Environ(), "PATH="+path+":"+filepath.Dir(s.lab.Mcctl())+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			s.Fatalf("%s:%d: %v\n%s%s", name, b.Line, err, b.Text(), out)
		}
		return string(out)
	}
	s.Fatalf("%s has no block that begins with %q", name, begins)
	return ""
}
