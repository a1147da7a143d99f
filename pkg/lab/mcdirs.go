package lab

import (
	"fmt"
	"path/filepath"
	"strings"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// The witness's name in its certificate.
const arbiterName = "arbiter"

// makeCertificates makes the lab's own authority and a certificate for each
// process that listens.
func (l *Lab) makeCertificates() error {
	ca := l.path("ca")
	if err := wire.NewCA(ca); err != nil {
		return err
	}
	for name, mcdir := range l.members() {
		if err := wire.NewCertificate(ca, PairName, name, filepath.Join(mcdir, "tls")); err != nil {
			return err
		}
	}
	return l.run.own(l.Dir)
}

// members are the names of the lab's processes and their management directories.
func (l *Lab) members() map[string]string {
	m := map[string]string{string(Server1): l.Mcdir(Server1), string(Server2): l.Mcdir(Server2)}
	if l.has("witness") {
		m[arbiterName] = l.ArbiterDir()
	}
	return m
}

// writeMcdirs writes the configuration of both servers and of the witness.
func (l *Lab) writeMcdirs() error {
	for _, s := range servers() {
		if err := l.writeScripts(s); err != nil {
			return err
		}
		if err := l.write(filepath.Join(l.Mcdir(s), "pair.toml"), l.pairTOML()); err != nil {
			return err
		}
		if err := l.write(filepath.Join(l.Mcdir(s), "server.toml"), l.serverTOML(s)); err != nil {
			return err
		}
	}
	if !l.has("witness") {
		return nil
	}
	return l.write(filepath.Join(l.ArbiterDir(), "arbiter.toml"), l.arbiterTOML())
}

func (l *Lab) pairTOML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "pair = %q\n", PairName)
	for _, s := range servers() {
		fmt.Fprintf(&b, "\n[servers.%s]\nadmin = %q\nreplication = %q\nclient = %q\n",
			s, local(l.adminPort(s)), local(l.ClientPort(s)), local(l.ClientPort(s)))
	}
	fmt.Fprintf(&b, "\n[arbiter]\nkind = %q\n", l.state.Arbiter)
	switch l.state.Arbiter {
	case "witness":
		fmt.Fprintf(&b, "address = %q\n", l.WitnessAddress())
	case "etcd":
		fmt.Fprintf(&b, "\n[arbiter.etcd]\nendpoints = [\"%s\"]\n", strings.Join(l.EtcdEndpoints(), `", "`))
	}
	fmt.Fprintf(&b, "\n[timings]\nprofile = %q\n", l.state.Profile)
	if !l.state.Settling {
		// Whoever tries out what a fault does tries again and again.
		b.WriteString("attach_settle_max = \"10ms\"\n")
	}
	return b.String()
}

func (l *Lab) serverTOML(s pair.Server) string {
	return fmt.Sprintf(`server = %q
data_directory = %q
bin_directory = %q

[postgres]
socket_directory = %q
port = %d
user = "postgres"
database = "postgres"

[replication]
user = %q
passfile = "pgpass"

%s`, s, l.Data(s), l.state.BinDir, l.socketDir(s), l.ClientPort(s), replicationRole, tlsTOML(string(s))+l.commandsTOML(s))
}

func (l *Lab) arbiterTOML() string {
	return fmt.Sprintf("listen = %q\nrecords = \"records\"\n\n%s", local(l.witnessPort()), tlsTOML(arbiterName))
}

func tlsTOML(name string) string {
	return fmt.Sprintf("[tls]\nca = \"tls/ca.crt\"\ncertificate = \"tls/%s.crt\"\nkey = \"tls/%s.key\"\n", name, name)
}
