package setup

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mcctl/pkg/pgconf"
)

// hbaLines let both servers in, since either may be the one that follows: to stream
// and to copy, and into one database for pg_rewind.
func (p Plan) hbaLines() (lines []string) {
	for _, address := range []string{p.Replication, p.OtherReplication} {
		host, _ := split(address)
		from := network(host)
		for _, database := range []string{"replication", quoteHBA(p.Database)} {
			line := fmt.Sprintf("host  %s  %s  %s  scram-sha-256", database, quoteHBA(p.Replicator), from)
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// quoteHBA keeps a name from being taken for a keyword such as all (pg_hba.conf, 13 to 18).
func quoteHBA(name string) string { return pgconf.HBAWord{Text: name, Quoted: true}.String() }

// network is an address as pg_hba.conf wants it; a host's name stands for itself.
func network(host string) string {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()).String()
}

// hbaComment stands above our lines.
const hbaComment = "# mcctl: the servers of the pair copy from each other and follow each other."

// withHBA puts the lines that are missing before the first rule of a pg_hba.conf: the
// first rule that fits decides, and a site's own may refuse everybody from abroad.
func withHBA(text []byte, lines []string) []byte {
	have := map[string]bool{}
	at, seen, paragraph := len(text), 0, 0
	for l := range strings.Lines(string(text)) {
		fields := strings.Fields(l)
		if len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
			at = min(at, paragraph) // above what is said about the rule
			have[strings.Join(fields, " ")] = true
		}
		if seen += len(l); len(fields) == 0 {
			paragraph = seen
		}
	}
	var block bytes.Buffer
	for _, line := range lines {
		if !have[strings.Join(strings.Fields(line), " ")] {
			block.WriteString(line + "\n")
		}
	}
	if block.Len() == 0 {
		return text
	}
	var out bytes.Buffer
	out.Write(text[:at])
	if at > 0 && text[at-1] != '\n' {
		out.WriteByte('\n')
	}
	out.WriteString(hbaComment + "\n" + block.String() + "\n")
	out.Write(text[at:])
	return out.Bytes()
}
