package pgconf

import "testing"

const ssn = "synchronous_standby_names"

func TestSet(t *testing.T) {
	for _, c := range []struct{ why, before, after string }{
		{
			"the last active line changes, its comment and line ending stay",
			"port = 1\nPort 2 # mine\r\nlisten = 3", "port = 1\nPort 'x' # mine\r\nlisten = 3",
		},
		{"nothing between name and value", "port'1'#c", "port'x'#c"},
		{"appended", "a = 1\n", "a = 1\nport = 'x'\n"},
		{"appended to nothing", "", "port = 'x'\n"},
		{"appended to a file without a line ending", "a = 1", "a = 1\nport = 'x'\n"},
		{"appended to a comment without a line ending", "# a", "# a\nport = 'x'\n"},
		{"appended with the file's line ending", "a = 1\r\nb = 2", "a = 1\r\nb = 2\r\nport = 'x'\r\n"},
		{"a line commented out is taken into use", "  #port = '1' # c\r\nb = 2\n", "  port = 'x' # c\r\nb = 2\n"},
		{"of several the last", "#port = '1'\n#port = '2'\n", "#port = '1'\nport = 'x'\n"},
		{"but an active one comes first", "port = 1\n#port = '2'\n", "port = 'x'\n#port = '2'\n"},
		{"without a line ending", "#port = '1'", "port = 'x'"},
		{"prose is not taken", "# port = '1'\n", "# port = '1'\nport = 'x'\n"},
		{"nor another form", "#port = 1\n#port='1'\n##port = '1'\n", "#port = 1\n#port='1'\n##port = '1'\nport = 'x'\n"},
		{"nor with junk behind", "#port = '1' or so\n", "#port = '1' or so\nport = 'x'\n"},
		{"nor another name", "#port2 = '1'\n", "#port2 = '1'\nport = 'x'\n"},
		{"an invalid line is left alone", "port = 1 2\n", "port = 1 2\nport = 'x'\n"},
	} {
		f := Parse([]byte(c.before))
		f.Set("port", "x")
		if got := string(f.Bytes()); got != c.after {
			t.Errorf("%s:\n%q becomes\n%q, want\n%q", c.why, c.before, got, c.after)
		}
		if v, ok := f.Get("port"); v != "x" || !ok {
			t.Errorf("%s: reads back %q, %v", c.why, v, ok)
		}
	}
}

func TestCommentOut(t *testing.T) {
	for _, c := range []struct{ why, before, after string }{
		{"exactly this form", ssn + " = 'server1'\n", "#" + ssn + " = 'server1'\n"},
		{"white space stays before the #", "\t" + ssn + " = 'server1' # c", "\t#" + ssn + " = 'server1' # c"},
		{"every occurrence", ssn + " = 'a'\nport = 1\n" + ssn + " b\r\n", "#" + ssn + " = 'a'\nport = 1\n#" + ssn + " b\r\n"},
		{"nothing to do", "#" + ssn + " = 'a'\n" + ssn + " = a b\n", "#" + ssn + " = 'a'\n" + ssn + " = a b\n"},
	} {
		f := Parse([]byte(c.before))
		for range 2 {
			f.CommentOut(ssn)
			if got := string(f.Bytes()); got != c.after {
				t.Errorf("%s: %q becomes %q, want %q", c.why, c.before, got, c.after)
			}
		}
		if v, ok := f.Get(ssn); ok {
			t.Errorf("%s: still set to %q", c.why, v)
		}
	}
}

// A pair's life: attach, detach, attach. The file stays where it was.
func TestToAndFro(t *testing.T) {
	sample := "# - Primary Server -\n\n#" + ssn + " = ''\t# standby servers\n\t\t\t\t# comma\n#hot_standby = on\n"
	attached := "# - Primary Server -\n\n" + ssn + " = 'server2'\t# standby servers\n\t\t\t\t# comma\n#hot_standby = on\n"
	detached := "# - Primary Server -\n\n#" + ssn + " = 'server2'\t# standby servers\n\t\t\t\t# comma\n#hot_standby = on\n"
	f := Parse([]byte(sample))
	for range 3 {
		f.Uncomment(ssn, "server2")
		if got := string(f.Bytes()); got != attached {
			t.Fatalf("attached: %q", got)
		}
		f.CommentOut(ssn)
		if got := string(f.Bytes()); got != detached {
			t.Fatalf("detached: %q", got)
		}
	}
}

func TestSetRefusesWhatIsNoName(t *testing.T) {
	for _, bad := range []string{"", " port", "port ", "a b", "a\nb", "1a", "a.b.c", "a-b", "#a", "'a'"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Set(%q) did not panic", bad)
				}
			}()
			Parse(nil).Set(bad, "x")
		}()
	}
}
