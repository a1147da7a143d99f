package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// rebootStatus is what systemd-nspawn ends with when the host asked for a reboot.
const rebootStatus = 133

// host is a machine: a systemd in namespaces, a disk, a cable.
type host struct {
	w    *world
	name string

	mu     sync.Mutex
	nspawn int           // pid; 0 when it is off
	off    chan struct{} // closed when it is off for good
	hands  sync.Mutex    // whoever switches its power, an operator or a fencing command
	cut    bool          // its cable is pulled
}

func (h *host) dir() string    { return filepath.Join(h.w.dir, h.name) }
func (h *host) merged() string { return filepath.Join(h.dir(), "merged") }
func (h *host) disk() string   { return filepath.Join(h.dir(), "disk") }
func (h *host) image() string  { return filepath.Join(h.dir(), "disk.img") }

// place is where the disk is mounted inside, mcdir the management directory on it.
func (h *host) place() string {
	if h.name == "w" {
		return "/var/lib/mcctl"
	}
	return "/var/lib/postgresql"
}

// mcdir is the management directory that the units name; it lies on the disk.
func (h *host) mcdir() string {
	if h.name == "w" {
		return "/etc/mcctl/arbiter"
	}
	return "/etc/mcctl/orders"
}

func (h *host) onDisk() string { return filepath.Join(h.place(), filepath.Base(h.mcdir())) }

func (h *host) unit() string {
	if h.name == "w" {
		return "mcctl-arbiter.service"
	}
	return "mcctl@orders.service"
}

// builtIn is, on a bare host, the directory that mcctl was built in.
const builtIn = "/root/mcctl"

// programs are what the host sees of this machine: mcctl in its place, or on a bare host
// what can be installed.
func (h *host) programs() ([]string, error) {
	if !h.w.bare {
		return []string{"--bind-ro=" + h.w.program() + ":/usr/local/bin/mcctl"}, nil
	}
	units, err := findUp("packaging/systemd")
	return []string{"--bind-ro=" + h.w.program() + ":" + builtIn + "/bin/mcctl", "--bind-ro=" + units + ":" + builtIn + "/packaging/systemd"}, err
}

// layOutUnit installs and enables the unit of packaging/systemd as it is, but for the
// arbiter's user, whom these hosts do not have.
func (h *host) layOutUnit() error {
	if h.w.bare {
		return nil
	}
	etc := filepath.Join(h.dir(), "upper/etc")
	units := filepath.Join(etc, "systemd/system")
	file, dropIn := "mcctl@.service", ""
	if h.name == "w" {
		file, dropIn = h.unit(), "[Service]\nUser=postgres\n"
	}
	path, err := findUp("packaging/systemd/" + file)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if h.name == "w" && h.w.arbiter == "etcd" {
		text, dropIn = []byte(etcdUnit), ""
	}
	for _, dir := range []string{filepath.Join(units, "multi-user.target.wants"), filepath.Join(units, h.unit()+".d"), filepath.Join(etc, "mcctl")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		os.WriteFile(filepath.Join(units, file), text, 0o644),
		os.WriteFile(filepath.Join(units, h.unit()+".d", "user.conf"), []byte(dropIn), 0o644),
		os.Symlink("/etc/systemd/system/"+file, filepath.Join(units, "multi-user.target.wants", h.unit())),
		os.Symlink(h.onDisk(), filepath.Join(h.dir(), "upper", h.mcdir())),
	)
}

// make lays out a host that has never run.
func (h *host) make() error {
	for _, d := range []string{"upper/etc", "upper" + h.place(), "work", "merged", "disk"} {
		if err := os.MkdirAll(filepath.Join(h.dir(), d), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		h.layOutUnit(),
		h.layOutCommands(),
		h.layOutClock(),
		os.WriteFile(filepath.Join(h.dir(), "upper/etc/hostname"), []byte(h.name+"\n"), 0o644),
	)
}

// boot gives the host power. It returns when its PID 1 is there.
func (h *host) boot() error {
	h.hands.Lock()
	defer h.hands.Unlock()
	return h.powerOn()
}

func (h *host) powerOn() error {
	if h.isUp() {
		return fmt.Errorf("boot %s: it is up", h.name)
	}
	if err := h.plugIn(); err != nil {
		return err
	}
	if !mounted(h.merged()) {
		layers := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", h.w.root, h.dir(), h.dir())
		if err := unix.Mount("overlay", h.merged(), "overlay", 0, layers); err != nil {
			return fmt.Errorf("mount root of %s: %w", h.name, err)
		}
	}
	if !h.cut {
		if err := cable(h.name, "up"); err != nil {
			return err
		}
	}
	off := make(chan struct{})
	first, err := h.spawn()
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.off = off
	h.mu.Unlock()
	go h.power(first, off)
	return h.awaitLeader()
}

// spawn starts systemd-nspawn in the host's own cgroups: two hosts that were started
// from the same one would share what is below it.
func (h *host) spawn() (*exec.Cmd, error) {
	script, err := h.joinGroups("")
	if err != nil {
		return nil, err
	}
	console, err := os.OpenFile(filepath.Join(h.dir(), "console"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer console.Close()
	cmd := exec.Command("sh", "-c", script, "sh", "systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", h.merged(),
		"-M", h.name, "--network-namespace-path=/run/netns/"+h.name,
		"--link-journal=no", "--console=read-only")
	programs, err := h.programs()
	if err != nil {
		return nil, err
	}
	cmd.Args = append(cmd.Args, programs...)
	for _, d := range h.disks() {
		cmd.Args = append(cmd.Args, "--bind="+d.mount+":"+d.place)
	}
	if h.w.clocks {
		cmd.Args = append(cmd.Args, "--bind-ro="+fakeTime()+":"+fakeTimePlace)
	}
	if h.w.arbiter == "etcd" {
		cmd.Args = append(cmd.Args, "--bind-ro=/usr/bin/etcd:/usr/local/bin/etcd")
	}
	cmd.Args = append(cmd.Args, "-b")
	cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1") // a Debian of today boots so
	cmd.Stdout, cmd.Stderr = console, console
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("boot %s: %w", h.name, err)
	}
	h.mu.Lock()
	h.nspawn = cmd.Process.Pid
	h.mu.Unlock()
	return cmd, nil
}

// power keeps the host running over its own reboots, until it is off.
func (h *host) power(cmd *exec.Cmd, off chan struct{}) {
	defer close(off)
	for {
		err := cmd.Wait()
		h.mu.Lock()
		h.nspawn = 0
		h.mu.Unlock()
		var exit *exec.ExitError
		switch code := cmd.ProcessState.ExitCode(); {
		case errors.As(err, &exit) && code == rebootStatus:
		case err == nil || code == -1: // shut down, or killed
			return
		default:
			h.w.say("host %s ended with status %d", h.name, code)
			return
		}
		if cmd, err = h.spawn(); err != nil {
			h.w.say("%v", err)
			return
		}
	}
}

func (h *host) isUp() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.nspawn != 0
}

// leader is the host's PID 1 as seen from here, or 0.
func (h *host) leader() int {
	h.mu.Lock()
	n := h.nspawn
	h.mu.Unlock()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", n, n))
	if n == 0 || err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// awaitLeader waits until commands can be run inside.
func (h *host) awaitLeader() error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if pid := h.leader(); pid != 0 {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/run/dbus/system_bus_socket", pid)); err == nil {
				return nil
			}
		}
		if !h.isUp() {
			break
		}
	}
	console, _ := os.ReadFile(filepath.Join(h.dir(), "console"))
	return fmt.Errorf("boot %s: it does not come up; its console:\n%s", h.name, console[max(0, len(console)-2000):])
}

// inside is a command in the host, in all of its namespaces and cgroups, so that a
// freeze and a power cut meet it as well.
func (h *host) inside(ctx context.Context, user string, args ...string) (*exec.Cmd, error) {
	leader := h.leader()
	if leader == 0 {
		return nil, fmt.Errorf("run %s on %s: it is off", args[0], h.name)
	}
	script, err := h.joinGroups("exec")
	if err != nil {
		return nil, err
	}
	words := []string{"-c", script, "sh", "nsenter", "-t", strconv.Itoa(leader), "-m", "-u", "-i", "-n", "-p"}
	if user != "root" {
		words = append(words, "setpriv", "--reuid", user, "--regid", user, "--init-groups")
	}
	cmd := exec.CommandContext(ctx, "sh", append(words, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/var/lib/postgresql"}
	cmd.WaitDelay = time.Second
	return cmd, nil
}

// run runs a command inside to its end and gives what it said.
func (h *host) run(ctx context.Context, user string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd, err := h.inside(ctx, user, args...)
	if err != nil {
		return "", err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("on %s: %s: %w: %s", h.name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// cutPower ends everything at once. The cable first, or the kernel would say goodbye
// for the dying processes; then the disk, so that what was not synced is lost.
func (h *host) cutPower() error {
	h.hands.Lock()
	defer h.hands.Unlock()
	return h.powerOff()
}

func (h *host) powerOff() error {
	if !h.isUp() {
		return fmt.Errorf("power off %s: it is off", h.name)
	}
	if err := cable(h.name, "down"); err != nil {
		return err
	}
	if err := h.cutDisks(); err != nil {
		return err
	}
	if err := h.killAll(); err != nil {
		return err
	}
	return errors.Join(h.unplug(), replug(h.name))
}

func (h *host) killAll() error {
	if err := h.setGroup("cgroup.kill", "1"); err != nil {
		return err
	}
	if err := h.awaitGroup("populated 0"); err != nil {
		return err
	}
	return h.awaitOff()
}

func (h *host) awaitOff() error {
	h.mu.Lock()
	off := h.off
	h.mu.Unlock()
	select {
	case <-off:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("power off %s: it is not off after %s", h.name, patience)
	}
}

// shutDown is an orderly poweroff.
func (h *host) shutDown(ctx context.Context) error {
	if _, err := h.run(ctx, "root", "systemctl", "poweroff"); err != nil {
		return err
	}
	if err := h.awaitOff(); err != nil {
		return err
	}
	return errors.Join(h.unplug(), cable(h.name, "down"))
}

// freeze stops every process of the host; its kernel goes on answering.
func (h *host) freeze(how bool) error {
	value, line := "0", "frozen 0"
	if how {
		value, line = "1", "frozen 1"
	}
	if err := h.setGroup("cgroup.freeze", value); err != nil {
		return err
	}
	return h.awaitGroup(line)
}

// pullCable cuts the host off until plugCable, also over a power cut.
func (h *host) pullCable() error {
	h.cut = true
	return cable(h.name, "down")
}

// plugCable ends a cut. One that is off gets its cable when it boots.
func (h *host) plugCable() error {
	h.cut = false
	if !h.isUp() {
		return nil
	}
	return cable(h.name, "up")
}

// end takes the host away, whatever state it is in.
func (h *host) end() error {
	h.hands.Lock()
	defer h.hands.Unlock()
	h.cut = false
	h.thawDisks()
	if h.isUp() {
		_ = h.limitMemory(0)
		_ = h.limitProcesses(false)
		_ = h.setGroup("cgroup.freeze", "0")
		if err := h.killAll(); err != nil {
			return err
		}
	}
	if mounted(h.merged()) {
		if err := unix.Unmount(h.merged(), unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount root of %s: %w", h.name, err)
		}
	}
	return errors.Join(h.unplug(), replug(h.name))
}
