package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// A lab's ports are a block, so that one number tells them all: +1 and +2 for
// clients, +11 and +12 for the supervisors, +14 to +19 for etcd, +20 for the witness.
// On the first nobody serves: whoever builds a lab listens there meanwhile.
const (
	claimOffset   = 0
	etcdOffset    = 14
	witnessOffset = 20
)

func offsets() []int { return []int{1, 2, 11, 12, 14, 15, 16, 17, 18, 19, witnessOffset} }

// choosePorts claims a block with every port free. It stays below 32768, where
// Linux by default begins to hand out ports to outgoing connections, and starts
// at random, so that two labs made at the same time seldom meet.
func (l *Lab) choosePorts() error {
	for range 200 {
		base := 20000 + 32*rand.IntN(390)
		if release, err := claimPorts(base); err == nil {
			l.state.Port, l.release = base, release
			return nil
		}
	}
	return errors.New("choose ports: found no free block between 20000 and 32500 on 127.0.0.1; name one with --port")
}

// claimPorts keeps others who choose off the block until release, when the lab's own
// processes serve there.
func claimPorts(base int) (release func(), err error) {
	ln, err := net.Listen("tcp", local(base+claimOffset))
	if err != nil {
		return nil, fmt.Errorf("use port %d: %w; choose another block with --port", base+claimOffset, err)
	}
	if err := checkPorts(base); err != nil {
		ln.Close()
		return nil, err
	}
	return func() { ln.Close() }, nil
}

// checkPorts tells which port of the block is in use.
func checkPorts(base int) error {
	if base < 1024 || base > 65535-witnessOffset {
		return fmt.Errorf("use ports from %d: choose a number between 1024 and %d with --port", base, 65535-witnessOffset)
	}
	for _, o := range offsets() {
		ln, err := net.Listen("tcp", local(base+o))
		if err != nil {
			return fmt.Errorf("use port %d: %w; choose another block with --port", base+o, err)
		}
		ln.Close()
	}
	return nil
}
