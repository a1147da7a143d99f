package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// setUp makes a pair by mcctl init, as docs/init.md says, waits until it is paired,
// shuts all hosts down in good order and keeps their disks.
func (w *world) setUp(ctx context.Context) error {
	for _, name := range hostNames() {
		h := w.hosts[name]
		if err := h.make(); err != nil {
			return err
		}
		if err := h.disks()[0].make(); err != nil {
			return err
		}
		if err := h.boot(); err != nil {
			return err
		}
		for _, dir := range []string{h.place(), h.onDisk()} {
			if _, err := h.run(ctx, "root", "install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", dir); err != nil {
				return err
			}
		}
	}
	if err := w.initPair(ctx); err != nil {
		return err
	}
	for _, name := range []string{"w", "a", "b"} {
		h := w.hosts[name]
		if name == "w" && !w.hasArbiterHost() {
			continue
		}
		if _, err := h.run(ctx, "root", "systemctl", "--no-block", "start", h.unit()); err != nil {
			return err
		}
	}
	if err := w.until(ctx, "paired", patience, w.paired); err != nil {
		return err
	}
	if err := os.MkdirAll(w.golden, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"b", "a", "w"} {
		h := w.hosts[name]
		if err := h.shutDown(ctx); err != nil {
			return err
		}
		if err := os.Rename(h.image(), filepath.Join(w.golden, name)); err != nil {
			return err
		}
	}
	return nil
}

// settings keep the pair small, and let the clients in.
const settings = `cat >>/var/lib/postgresql/main/postgresql.conf <<END
shared_buffers = 32MB
max_wal_size = 160MB
min_wal_size = 32MB
log_checkpoints = off
END
echo 'host all all 10.77.0.9/32 trust' >>/var/lib/postgresql/main/pg_hba.conf
psql -X -c 'select pg_reload_conf()' postgres
sync`

func (w *world) initPair(ctx context.Context) error {
	bin, err := w.binDirectory()
	if err != nil {
		return err
	}
	a, b, arbiter := w.hosts["a"], w.hosts["b"], w.hosts["w"]
	data := []string{"--data-directory", "/var/lib/postgresql/main", "--bin-directory", bin}
	first := append([]string{
		"mcctl", "init", "-M", a.mcdir(), "--pair", "orders",
		"--name", "a", "--admin", "10.77.0.1:27540", "--replication", "10.77.0.1:5432",
		"--other-name", "b", "--other-admin", "10.77.0.2:27540", "--other-replication", "10.77.0.2:5432",
	}, data...)
	if w.arbiter == "witness" {
		first = append(first, "--arbiter-address", "10.77.0.3:27541")
	} else {
		first = append(first, "--no-arbiter")
	}
	if _, err := a.run(ctx, "postgres", first...); err != nil {
		return err
	}
	if _, err := a.run(ctx, "postgres", "bash", "-ec", settings); err != nil {
		return err
	}
	if w.storming { // where a standby is lost in every other round, and is to be back at the end of each
		if _, err := a.run(ctx, "postgres", "sed", "-i", `/^\[timings\]/a attach_settle_max = "15s"`, a.mcdir()+"/pair.toml"); err != nil {
			return err
		}
	}
	if w.arbiter == "witness" {
		if err := w.join(ctx, arbiter, []string{"--arbiter"}, nil); err != nil {
			return err
		}
	}
	if err := w.join(ctx, b, nil, data); err != nil {
		return err
	}
	return errors.Join(w.chooseArbiter(ctx, a), w.chooseArbiter(ctx, b))
}

// join lets a host join with a token that the first server prints.
func (w *world) join(ctx context.Context, h *host, kind, more []string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	serve, err := w.hosts["a"].inside(ctx, "postgres", append([]string{"mcctl", "init", "--serve-token", "-M", w.hosts["a"].mcdir()}, kind...)...)
	if err != nil {
		return err
	}
	take, err := h.inside(ctx, "postgres", append(append([]string{"mcctl", "init", "--join", "-M", h.mcdir()}, kind...), more...)...)
	if err != nil {
		return err
	}
	return carryToken(serve, take)
}

// carryToken gives the token that one command prints to another one.
func carryToken(serve, take *exec.Cmd) error {
	out, err := serve.StdoutPipe()
	if err != nil {
		return err
	}
	var said strings.Builder
	serve.Stderr = &said
	if err := serve.Start(); err != nil {
		return err
	}
	token, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = serve.Wait()
		return fmt.Errorf("get a token: %w: %s", err, said.String())
	}
	take.Stdin = strings.NewReader(token)
	if text, err := take.CombinedOutput(); err != nil {
		return fmt.Errorf("bring a token: %w: %s", err, text)
	}
	return serve.Wait()
}

// binDirectory is where the image has PostgreSQL's programs.
func (w *world) binDirectory() (string, error) {
	found, _ := filepath.Glob(w.root + "/usr/lib/postgresql/*/bin")
	if len(found) != 1 {
		return "", fmt.Errorf("find PostgreSQL in the image %s: found %v", w.root, found)
	}
	return strings.TrimPrefix(found[0], w.root), nil
}

// until asks again and again until the answer is yes; the error says what is missing.
func (w *world) until(ctx context.Context, what string, within time.Duration, ask func(context.Context) error) error {
	began := time.Now()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if time.Since(began) > within {
			return fmt.Errorf("not %s within %s: %w", what, within, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
