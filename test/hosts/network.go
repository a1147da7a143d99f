package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// The ports of docs/init.md.
const (
	adminPort       = 27540
	witnessPort     = 27541
	replicationPort = 5432
)

// network is a switch with a cable to every host. This process sits on the switch
// itself, as the clients do.
type network struct {
	blocked []block
	loss    int // of a hundred packets between hosts
}

// block is what does not get through from one host to another.
type block struct {
	from, to string
	port     int // 0: everything
}

func ipOf(name string) string {
	return "10.77.0." + map[string]string{"a": "1", "b": "2", "w": "3"}[name]
}

func run(program string, args ...string) error {
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, out)
	}
	return nil
}

// layNetwork makes the switch and the cables, in this process's own namespace.
func layNetwork(hosts []string) error {
	lines := [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", "br0", "type", "bridge"},
		{"addr", "add", "10.77.0.9/24", "dev", "br0"},
		{"link", "set", "br0", "up"},
	}
	for _, h := range hosts {
		lines = append(lines, plug(h)...)
	}
	return all(lines)
}

// plug leaves the cable dead: a host without power answers nothing, not even that no
// process listens.
func plug(h string) [][]string {
	return [][]string{
		{"netns", "add", h},
		{"-n", h, "link", "set", "lo", "up"},
		{"link", "add", "v" + h, "type", "veth", "peer", "name", "eth0", "netns", h},
		{"link", "set", "v" + h, "master", "br0"},
		// A network card keeps its address over a power cut; the others know it by that.
		{"-n", h, "link", "set", "eth0", "address", "02:00:00:00:00:0" + ipOf(h)[len("10.77.0."):]},
		{"-n", h, "addr", "add", ipOf(h) + "/24", "dev", "eth0"},
		{"-n", h, "link", "set", "eth0", "up"},
	}
}

// replug gives a host that was without power a new network: the old one's kernel
// would go on sending for connections of the dead.
func replug(h string) error {
	return all(append([][]string{{"link", "del", "v" + h}, {"netns", "del", h}}, plug(h)...))
}

func all(lines [][]string) error {
	for _, l := range lines {
		if err := run("ip", l...); err != nil {
			return err
		}
	}
	return nil
}

// cable pulls or plugs the whole cable of a host.
func cable(h, state string) error { return run("ip", "link", "set", "v"+h, state) }

// change blocks or frees what the words name: a-b both ways, a>b one way; with
// replication, admin or witness only that port.
func (n *network) change(cut bool, link, what string) error {
	port, known := map[string]int{"": 0, "replication": replicationPort, "admin": adminPort, "witness": witnessPort}[what]
	from, to, oneWay := strings.Cut(link, ">")
	if !oneWay {
		var both bool
		if from, to, both = strings.Cut(link, "-"); !both {
			return fmt.Errorf("link %q: want a-b for both ways or a>b for one", link)
		}
	}
	if !known || !isHost(from) || !isHost(to) {
		return fmt.Errorf("link %q %q: want two of a, b, w, and nothing or replication, admin, witness", link, what)
	}
	for _, b := range []block{{from, to, port}, {to, from, port}}[:map[bool]int{true: 1, false: 2}[oneWay]] {
		n.blocked = slices.DeleteFunc(n.blocked, func(old block) bool { return old == b })
		if cut {
			n.blocked = append(n.blocked, b)
		}
	}
	return n.apply()
}

func isHost(name string) bool { return name == "a" || name == "b" || name == "w" }

// apply gives the kernel all rules anew, at once.
func (n *network) apply() error {
	rules := ""
	for _, b := range n.blocked {
		way := fmt.Sprintf("iifname v%s oifname v%s ", b.from, b.to)
		if b.port == 0 {
			rules += way + "drop\n"
			continue
		}
		rules += fmt.Sprintf("%[1]stcp dport %[2]d drop\n%[1]stcp sport %[2]d drop\n", way, b.port)
	}
	if n.loss > 0 {
		rules += fmt.Sprintf("numgen random mod 100 < %d drop\n", n.loss)
	}
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader("table bridge faults\ndelete table bridge faults\ntable bridge faults {\nchain between {\n" +
		"type filter hook forward priority 0; policy accept;\n" + rules + "}\n}\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("set packet filter: %w: %s", err, out)
	}
	return nil
}

// slow limits every cable to a rate, with a queue of at most 400 ms; "" ends that.
func (n *network) slow(rate string) error {
	for _, h := range hostNames() {
		if rate == "" {
			_ = exec.Command("tc", "qdisc", "del", "dev", "v"+h, "root").Run() // there may be none
			continue
		}
		if err := run("tc", "qdisc", "replace", "dev", "v"+h, "root", "tbf", "rate", rate, "burst", "16kb", "latency", "400ms"); err != nil {
			return err
		}
	}
	return nil
}

// heal ends every fault of the network but unplugged cables.
func (n *network) heal() error {
	n.blocked, n.loss = nil, 0
	if err := n.slow(""); err != nil {
		return err
	}
	return n.apply()
}
