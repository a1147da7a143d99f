package script

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"mcctl/pkg/lab"
	"mcctl/pkg/wire"
)

// example puts the example of a management directory into $MC1 and $MCARB. Nothing
// of it exists beside the files, so nothing can be started on it.
func example(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: example")
	}
	for name, from := range map[string]string{"MC1": "server1", "MCARB": "arbiter"} {
		dir := ts.MkAbs(from)
		source, err := filepath.Abs(filepath.Join("..", "..", "mcdir-example", from))
		ts.Check(err)
		ts.Check(os.CopyFS(dir, os.DirFS(source)))
		ts.Setenv(name, dir)
	}
}

// labCommand makes a pair below $LAB, which is running and paired afterwards:
//
//	lab [--arbiter none]
//
// It sets MC1, MC2, MCARB, the data directories D1 and D2, the ports PORT1 and PORT2.
func labCommand(ts *testscript.TestScript, neg bool, args []string) {
	opt := lab.Options{Mcctl: ts.Getenv("MCCTL"), BinDir: ts.Getenv("PG_BIN"), Template: os.Getenv("TEST_CLUSTER"), Settings: map[string]string{"fsync": "off"}} // no page cuts the power
	if len(args) == 2 && args[0] == "--arbiter" {
		opt.Arbiter = args[1]
	} else if neg || len(args) > 0 {
		ts.Fatalf("usage: lab [--arbiter none]")
	}
	var err error
	opt.Dir, err = os.MkdirTemp("", "mcpage") // its sockets' paths must be short
	ts.Check(err)
	ts.Defer(func() { down(ts, opt.Dir) })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l, err := lab.Up(ctx, opt)
	ts.Check(err)
	ts.Setenv("LAB", l.Dir)
	for name, value := range l.Env() {
		ts.Setenv(name, value)
	}
	for n, s := range map[string]struct {
		data string
		port int
	}{"1": {l.Data(lab.Server1), l.ClientPort(lab.Server1)}, "2": {l.Data(lab.Server2), l.ClientPort(lab.Server2)}} {
		ts.Setenv("D"+n, s.data)
		ts.Setenv("PORT"+n, fmt.Sprint(s.port))
		ts.Setenv("ADMIN"+n, fmt.Sprintf("127.0.0.1:%d", s.port+10))
	}
	ts.Setenv("ARBITER", fmt.Sprintf("127.0.0.1:%d", l.ClientPort(lab.Server1)+19))
}

func down(ts *testscript.TestScript, dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := lab.Down(ctx, dir, true); err != nil {
		ts.Logf("take the lab in %s down: %v", dir, err)
	}
	_ = os.RemoveAll(dir) // what the page has added
}

// listen opens a port and speaks something that is not mcctl's there, until the
// page ends; ADDRESS is where:
//
//	listen http|ssh|silence [ADDRESS]
//	listen tls DIR/NAME
//
// With tls, DIR/NAME.crt and .key prove who it is.
func listen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: listen http|ssh|silence [ADDRESS], or listen tls DIR/NAME")
	}
	address := "127.0.0.1:0"
	if args[0] != "tls" && len(args) > 1 {
		address = args[1]
	}
	ln, err := net.Listen("tcp", address)
	ts.Check(err)
	ts.Defer(func() { _ = ln.Close() })
	ts.Setenv("ADDRESS", ln.Addr().String())
	if args[0] == "tls" {
		pair, err := tls.LoadX509KeyPair(ts.MkAbs(args[1])+".crt", ts.MkAbs(args[1])+".key")
		ts.Check(err)
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go speak(conn, args[0])
		}
	}()
}

// speak says what such a server says first, or after it was spoken to.
func speak(conn net.Conn, tongue string) {
	defer func() { _ = conn.Close() }()
	heard := make([]byte, 1024)
	switch tongue {
	case "ssh":
		_, _ = conn.Write([]byte("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"))
	case "http":
		_, _ = conn.Read(heard)
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
	}
	for {
		if _, err := conn.Read(heard); err != nil {
			return
		}
	}
}

// certificates makes an authority of its own in DIR/ca, and by it the certificate of
// NAME in PAIR:
//
//	certificates DIR PAIR NAME
func certificates(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: certificates DIR PAIR NAME")
	}
	dir := ts.MkAbs(args[0])
	ca := filepath.Join(dir, "ca")
	if _, err := os.Stat(ca); err != nil {
		ts.Check(wire.NewCA(ca))
	}
	ts.Check(wire.NewCertificate(ca, strings.Trim(args[1], "-"), args[2], dir))
}
