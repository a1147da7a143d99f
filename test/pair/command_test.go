package pair

import (
	"bytes"
	"errors"
	"os/exec"
)

// aCommand is mcctl at work, for a test that does something meanwhile.
type aCommand struct {
	*exec.Cmd
	said  bytes.Buffer
	ended chan struct{}
	err   error
}

// start starts one.
func (s *stage) start(args []string) *aCommand {
	s.Helper()
	c := &aCommand{Cmd: exec.Command(s.lab.Mcctl(), args...), ended: make(chan struct{})}
	c.Stdout, c.Stderr = &c.said, &c.said
	if err := c.Start(); err != nil {
		s.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		c.err = c.Wait()
	}()
	return c
}

// kill ends it at once, and tells whether it was under way.
func (c *aCommand) kill() bool {
	_ = c.Process.Kill() // it may have ended
	<-c.ended
	var exit *exec.ExitError
	return errors.As(c.err, &exit) && !exit.Exited()
}

// under tells whether it has not ended yet: what it was asked for is not done.
func (c *aCommand) under() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}
