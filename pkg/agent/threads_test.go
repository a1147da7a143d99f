package agent

import (
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// asBlocked makes the test binary a process in which many calls block at once, after
// the system has begun to refuse it threads.
const asBlocked = "MCCTL_TEST_BLOCKED"

func TestThreadsAreThereWhenTheSystemRefusesThem(t *testing.T) {
	if os.Getenv(asBlocked) != "" {
		blockMany(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), asBlocked+"=yes")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func blockMany(t *testing.T) {
	makeThreads(spareThreads)
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
		t.Fatal(err)
	}
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		t.Fatal(err)
	}
	var begun, done sync.WaitGroup
	for range spareThreads - 4 {
		begun.Add(1)
		done.Go(func() {
			begun.Done()
			_, _ = syscall.Read(ends[0], make([]byte, 1)) // blocks its thread until the pipe closes
		})
	}
	begun.Wait()
	_ = syscall.Close(ends[1])
	done.Wait()
}
