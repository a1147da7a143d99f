package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
)

const powerSwitchPort = 7000

// servePowerSwitch is what a site has to fence with: whoever names a host there gets
// the answer off when that host is without power. Then it gets its power back, unless
// it was off before: what is fenced comes back by itself, as after a reset.
func (w *world) servePowerSwitch() error {
	l, err := net.Listen("tcp", fmt.Sprintf("10.77.0.9:%d", powerSwitchPort))
	if err != nil {
		return fmt.Errorf("serve the power switch: %w", err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go w.switchPower(conn)
		}
	}()
	return nil
}

func (w *world) switchPower(conn net.Conn) {
	defer conn.Close()
	name, err := bufio.NewReader(conn).ReadString('\n')
	h := w.hosts[strings.TrimSpace(name)]
	if err != nil || h == nil {
		return
	}
	h.hands.Lock()
	defer h.hands.Unlock()
	was := h.isUp()
	if was {
		if err := h.powerOff(); err != nil {
			w.say("     power switch: %v", err)
			return
		}
	}
	w.say("     [%s is fenced]", h.name)
	fmt.Fprintln(conn, "off")
	if was {
		if err := h.powerOn(); err != nil {
			w.say("     power switch: %v", err)
		}
	}
}
