package wire

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// socketPath is short: a socket's path has at most 107 bytes.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mc")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestUnixSocket(t *testing.T) {
	path := socketPath(t)
	ln, err := ListenUnix(path, 0o600)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Serve(ctx, ln, newHost()) }()
	c, err := Dial(t.Context(), "unix", path, nil)
	must(t, err)
	defer c.Close()
	var who Identity
	must(t, c.Call(t.Context(), "who", nil, &who))
	if who != (Identity{Name: LocalName}) {
		t.Errorf("we are %v", who)
	}
	if _, err := ListenUnix(path, 0o600); err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("a second listener: %v", err)
	}
	must(t, c.Call(t.Context(), "nothing", nil, nil)) // the attempt did no harm
	cancel()
	must(t, <-done)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := socketPath(t)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	stale.SetUnlinkOnClose(false)
	stale.Close()
	ln, err := ListenUnix(path, 0o600)
	must(t, err)
	defer ln.Close()
	c, err := net.Dial("unix", path)
	must(t, err)
	c.Close()
}

func TestSuccessorsSocketIsKept(t *testing.T) {
	path := socketPath(t)
	first, err := ListenUnix(path, 0o600)
	must(t, err)
	must(t, os.Remove(path))
	second, err := ListenUnix(path, 0o600)
	must(t, err)
	defer second.Close()
	must(t, first.Close())
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's socket is gone: %v", err)
	}
}

// A listener without TLS on TCP must never be served by mistake.
func TestPlainTCPIsNotServed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	background(t, func(ctx context.Context) error { return Serve(ctx, ln, newHost()) })
	c, err := Dial(t.Context(), "tcp", ln.Addr().String(), nil)
	must(t, err)
	defer c.Close()
	if err := c.Call(t.Context(), "nothing", nil, nil); err == nil {
		t.Error("answered without TLS")
	}
}
