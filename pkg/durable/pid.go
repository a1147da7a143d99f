package durable

import (
	"fmt"
	"os"
)

// pidWidth is what the number of any process takes, with the end of its line: pid_max is
// 2^22 at most (proc_sys_kernel(5)), and 2^31 whatever Linux makes of that.
const pidWidth = 11

// WritePID makes this process's number the content of a file of pids. It is written in
// place and always as long, so that a file that was once written takes it on a full disk
// too. It need not survive a power cut: no process does.
func WritePID(f *os.File) error {
	text := fmt.Appendf(nil, "%-*d\n", pidWidth-1, os.Getpid())
	if _, err := f.WriteAt(text, 0); err != nil {
		return fmt.Errorf("write pid: %w", err)
	}
	return nil
}
