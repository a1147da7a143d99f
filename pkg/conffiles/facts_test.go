package conffiles

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mcctl/pkg/majors"
)

// treeCase is a tree of files and what PostgreSQL makes of it.
type treeCase struct {
	why  string
	make func()
	want string // refused if empty
}

// What PostgreSQL does with includes in cases that chance seldom makes. The outcome is
// PostgreSQL's; what we find must be the same.
func TestPostgresReadsTheseTreesAlike(t *testing.T) {
	j := newJudge(t)
	for _, c := range slices.Concat(j.links(), j.nesting(), j.beyond()) {
		j.clear()
		c.make()
		got, err := j.ask()
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: PostgreSQL %d reads %q, %v; want %q", c.why, j.major, got, err, c.want)
		}
		tree := j.read()
		if last, _ := tree.Get(judged); c.want != "" && (last.Value != c.want || len(tree.Problems()) > 0) {
			t.Errorf("%s: we read %q, %v; want %q", c.why, last.Value, tree.Problems(), c.want)
		}
		if c.want == "" && len(tree.Problems()) == 0 {
			t.Errorf("%s: PostgreSQL refuses it, we see no problem: %v", c.why, err)
		}
	}
}

// links are about links, directories and what is neither.
func (j *judge) links() []treeCase {
	return []treeCase{
		{"a link to the main file: relative is from where the link lies", func() {
			j.mkdir("etc")
			j.write("etc/real.conf", "include 'in.conf'\n")
			j.write("etc/in.conf", line("target"))
			j.write("in.conf", line("link"))
			j.link("etc/real.conf", "postgresql.conf")
		}, "link"},
		{"an included file may be a link", func() {
			j.mkdir("conf.d")
			j.write("postgresql.conf", "include_dir 'conf.d'\n")
			j.write("elsewhere", line("linked"))
			j.link("../elsewhere", "conf.d/a.conf")
		}, "linked"},
		{"a link to nothing in a directory", func() {
			j.mkdir("conf.d")
			j.write("postgresql.conf", "include_dir 'conf.d'\n"+line("x"))
			j.link("nowhere", "conf.d/a.conf")
		}, ""},
		{"a directory named like a file", func() {
			j.mkdir("conf.d/a.conf")
			j.write("postgresql.conf", line("x")+"include_dir 'conf.d'\n")
		}, "x"},
		{"the name .conf alone", func() {
			j.write("postgresql.conf", line("x")+"include_dir 'conf.d'\n")
			j.write("conf.d/.conf", line("y"))
		}, "x"},
		{"a directory for a file", func() {
			j.mkdir("conf.d")
			j.write("postgresql.conf", line("x")+"include_if_exists 'conf.d'\n")
		}, ""},
		{"a file for a directory", func() { j.write("postgresql.conf", "include_dir 'a.conf'\n"); j.write("a.conf", "") }, ""},
	}
}

// nesting is about what includes what, and by which name.
func (j *judge) nesting() []treeCase {
	return []treeCase{
		{"a file that may not be read is skipped if it need not exist", func() {
			j.write("postgresql.conf", line("x")+"include_if_exists 'a.conf'\n")
			j.write("a.conf", line("y"))
			ok(j.t, os.Chmod(filepath.Join(j.dir, "a.conf"), 0))
		}, "x"},
		{"but not in a directory", func() {
			j.write("postgresql.conf", line("x")+"include_dir 'conf.d'\n")
			j.write("conf.d/a.conf", line("y"))
			ok(j.t, os.Chmod(filepath.Join(j.dir, "conf.d/a.conf"), 0))
		}, ""},
		{"one file twice, the second time counts", func() {
			j.write("postgresql.conf", "include 'a.conf'\n"+line("x")+"include 'a.conf'\n")
			j.write("a.conf", line("again"))
		}, "again"},
		{"ten deep", func() { chain(j, 10) }, "bottom"},
		{"eleven deep", func() { chain(j, 11) }, ""},
		{"in a ring", func() {
			j.write("postgresql.conf", "include 'a.conf'\n")
			j.write("a.conf", "include 'postgresql.conf'\n")
		}, ""},
		{"itself, if it exists", func() { j.write("postgresql.conf", "include_if_exists 'postgresql.conf'\n") }, ""},
		{"an unquoted name with a slash", func() { j.write("postgresql.conf", "include c/b.conf"); j.write("c/b.conf", line("x")) }, "x"},
		{"an unquoted name with a dot", func() { j.write("postgresql.conf", "include b.conf"); j.write("b.conf", line("x")) }, ""},
		{"blanks in front belong to the name", func() { j.write("postgresql.conf", "include ' b.conf'"); j.write("b.conf", line("x")) }, ""},
	}
}

// beyond is about postgresql.auto.conf and ways up.
func (j *judge) beyond() []treeCase {
	return []treeCase{
		{"postgresql.auto.conf may include", func() {
			j.write("postgresql.conf", line("x"))
			j.write("postgresql.auto.conf", "include 'a.conf'\n")
			j.write("a.conf", line("auto"))
		}, "auto"},
		{"and a line of it that cannot be read spoils all", func() { j.write("postgresql.conf", line("x")); j.write("postgresql.auto.conf", "a =\n") }, ""},
		{"ALTER SYSTEM wins", func() { j.write("postgresql.conf", line("x")); j.write("postgresql.auto.conf", line("auto")) }, "auto"},
		{"up through a link: the way by name in a relative path since 15", func() {
			j.mkdir("real/deep")
			j.link("real/deep", "lk")
			j.write("real/x.conf", line("kernel"))
			j.write("x.conf", line("name"))
			j.write("postgresql.conf", "include 'lk/../x.conf'\n")
		}, map[bool]string{true: "name", false: "kernel"}[majors.Of(j.major).DotsAsText]},
		{"and by the kernel in an absolute one", func() {
			j.mkdir("real/deep")
			j.link("real/deep", "lk")
			j.write("real/x.conf", line("kernel"))
			j.write("x.conf", line("name"))
			j.write("postgresql.conf", "include '"+j.dir+"/lk/../x.conf'\n")
		}, "kernel"},
	}
}

func (j *judge) link(to, at string) { ok(j.t, os.Symlink(to, filepath.Join(j.dir, at))) }
func (j *judge) mkdir(at string)    { ok(j.t, os.MkdirAll(filepath.Join(j.dir, at), 0o700)) }
func line(value string) string      { return judged + " = '" + value + "'\n" }

// chain makes files that include each other in a row.
func chain(j *judge, depth int) {
	j.write("postgresql.conf", "include '1.conf'\n")
	for i := 1; i < depth; i++ {
		j.write(fmt.Sprintf("%d.conf", i), fmt.Sprintf("include '%d.conf'\n", i+1))
	}
	j.write(fmt.Sprintf("%d.conf", depth), judged+" = 'bottom'\n")
}

// Problems name the line, as PostgreSQL's own messages do.
func TestProblemsNameTheLine(t *testing.T) {
	j := newJudge(t)
	j.write("postgresql.conf", "port = 1\ninclude_dir 'conf.d'\ninclude 'none.conf'\n")
	j.write("conf.d/a.conf", "port = 1\n\nport 5 6\n")
	problems := j.read().Problems()
	if len(problems) != 2 || problems[0].String() != filepath.Join(j.dir, "conf.d/a.conf")+":3: syntax error" ||
		!strings.HasPrefix(problems[1].String(), filepath.Join(j.dir, "postgresql.conf")+":3: include: open ") {
		t.Errorf("problems: %v", problems)
	}
	if _, err := j.ask(); err == nil {
		t.Error("PostgreSQL reads it nevertheless")
	} else {
		fails(t, err, fmt.Sprintf("syntax error in file %q line 3", filepath.Join(j.dir, "conf.d/a.conf")))
	}
}
