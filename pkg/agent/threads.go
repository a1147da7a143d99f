package agent

import (
	"runtime"
	"sync"
)

// spareThreads are more than the supervisor's goroutines ever need at once for what
// blocks: watching processes, reading and syncing files.
const spareThreads = 24

// makeThreads makes threads while there are some to be had. Go's runtime makes one
// whenever a call blocks and none is idle, and ends the program when the system
// refuses, as it does where PostgreSQL's sessions have used up the user's processes.
// Idle threads are kept for ever.
func makeThreads(n int) {
	var there, gone sync.WaitGroup
	release := make(chan struct{})
	for range n {
		there.Add(1)
		gone.Go(func() {
			runtime.LockOSThread() // which makes it have a thread of its own
			defer runtime.UnlockOSThread()
			there.Done()
			<-release
		})
	}
	there.Wait()
	close(release)
	gone.Wait()
}
