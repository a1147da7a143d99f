package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"mcctl/pkg/tcp"
)

// A peer that lost its power sends no FIN. Its heartbeats' absence is judged by
// their age; these only free the connection's memory some time later.
const (
	peerSilence   = 10 * time.Second
	probeInterval = 3 * time.Second
	probeCount    = 3
)

// ListenTLS listens for peers on a TCP address such as "192.0.2.100:27540".
// Config is a TLSPair's Server.
func ListenTLS(addr string, config *tls.Config) (net.Listener, error) {
	lc := net.ListenConfig{
		KeepAliveConfig: keepAlive(peerSilence),
		// Accepted sockets inherit it.
		Control: func(_, _ string, c syscall.RawConn) error { return tcp.SetUserTimeout(c, peerSilence) },
	}
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &tlsListener{Listener: ln, config: config}, nil
}

// tlsListener is tls.NewListener over sockets that can be parked.
type tlsListener struct {
	net.Listener
	config *tls.Config
}

func (l *tlsListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(newSocket(conn), l.config), nil
}

func keepAlive(idle time.Duration) net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: idle, Interval: probeInterval, Count: probeCount}
}

// ListenUnix listens for local commands on a socket of the given mode. A socket that
// a dead process left behind is replaced; one that answers is an error. The file is
// removed on Close.
func ListenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("listen on %s: another process answers there; it is running already", path)
	} else if !isRefused(err) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	ln, err := listenRenamed(path, mode)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return ln, nil
}

// listenRenamed gives the socket its mode before it gets its name: between bind and
// chmod anybody allowed by the umask could connect.
func listenRenamed(path string, mode fs.FileMode) (net.Listener, error) {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	l := &unixListener{UnixListener: ln, path: path}
	if l.made, err = nameSocket(fresh, path, mode); err != nil {
		ln.Close()
		os.Remove(fresh)
		return nil, err
	}
	return l, nil
}

func nameSocket(fresh, path string, mode fs.FileMode) (fs.FileInfo, error) {
	if err := os.Chmod(fresh, mode); err != nil {
		return nil, err
	}
	made, err := os.Lstat(fresh)
	if err != nil {
		return nil, err
	}
	return made, os.Rename(fresh, path)
}

// unixListener removes its own file on Close, but not a successor's.
type unixListener struct {
	*net.UnixListener
	path string
	made fs.FileInfo
}

func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	if now, statErr := os.Lstat(l.path); err == nil && statErr == nil && os.SameFile(now, l.made) {
		err = os.Remove(l.path)
	}
	return err
}
