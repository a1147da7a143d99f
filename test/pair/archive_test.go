package pair

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/wire"
)

// A backup is of use up to the switch and beyond only if every segment before it was
// archived, by the server that wrote it: the standby marks what it receives as archived.
// Its last one is cut short and archived by PostgreSQL's own shutdown, while the new
// primary is promoted already (ShutdownXLOG in xlog.c; seen with 15.20).
func TestASwitchLeavesNoHoleInTheArchive(t *testing.T) {
	archive := t.TempDir()
	s := newStage(t, lab.Options{Settings: map[string]string{
		"archive_mode":    "on",
		"archive_command": fmt.Sprintf("sleep 1; test ! -e %[1]s/%%f && cp %%p %[1]s/.%%f && mv %[1]s/.%%f %[1]s/%%f", archive),
	}})
	s.writeLog(one, 60) // a few segments wait, as the command is slow
	s.eventually("the standby is close, and the switch is made", func() bool {
		_, err := s.try("switch", "-M", s.lab.Mcdir(one))
		return err == nil
	})
	s.until("server2 is primary", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.paired(two)
	last := s.forkOfTimeline2()
	if last < 3 {
		t.Fatalf("the switch came in segment %d, before anything could wait", last)
	}
	archived := func(name string) bool { _, err := os.Stat(filepath.Join(archive, name)); return err == nil }
	for n := uint64(1); n < last; n++ {
		if name := segment(1, n); !archived(name) {
			t.Errorf("%s was not archived, and the switch came in %s", name, segment(1, last))
		}
	}
	s.eventually("the new primary archives the beginning of its timeline", func() bool { return archived("00000002.history") })
	s.flowing()
}

// segment is a file name in pg_wal, with segments of 16 MB.
func segment(timeline, n uint64) string {
	const perFile = 1 << 32 / (16 << 20)
	return fmt.Sprintf("%08X%08X%08X", timeline, n/perFile, n%perFile)
}

// forkOfTimeline2 is the segment in which timeline 2 began.
func (s *stage) forkOfTimeline2() uint64 {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.lab.Data(two), "pg_wal", "00000002.history"))
	if err != nil {
		s.Fatal(err)
	}
	var from, high, low uint64
	if _, err := fmt.Sscanf(string(text), "%d\t%X/%X", &from, &high, &low); err != nil || from != 1 {
		s.Fatalf("the history of timeline 2 is %q: %v", text, err)
	}
	return (high<<32 | low) / (16 << 20)
}
