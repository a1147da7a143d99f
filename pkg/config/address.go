package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// hostName allows the letters of host names and what people put in /etc/hosts.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// CheckAddress says what is wrong with a host:port to connect to.
func CheckAddress(address string) error { return checkAddress(address, false) }

// checkAddress says what is wrong with host:port. An address to listen on may
// name any interface; one to connect to may not.
func checkAddress(address string, listen bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not an address; write host:port, such as \"192.0.2.100:5432\" or \"[2001:db8::1]:5432\"", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q has no usable port; write a number from 1 to 65535", address)
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case listen && (host == "" || err == nil && ip.IsUnspecified()):
		return nil
	case host == "" || err == nil && ip.IsUnspecified():
		return fmt.Errorf("%q names no host that others could connect to; write the address of one interface", address)
	case err != nil && !hostName.MatchString(host):
		return fmt.Errorf("%q has no usable host; write a name or an IP address", address)
	}
	return nil
}

// canonical makes two spellings of one address equal.
func canonical(address string) string {
	if ap, err := netip.ParseAddrPort(address); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).String()
	}
	return strings.ToLower(address)
}

func (s *source) requireAddress(key, address string) {
	s.require(key, address)
	if err := CheckAddress(address); err != nil {
		s.complain(key, "%v", err)
	}
}

// checkDistinct finds one address given to two services. That is the slip which
// makes a server mirror itself, and nothing later would notice it as clearly.
func (p *Pair) checkDistinct(at *source) {
	type owner struct{ key, service string }
	owners := map[string]owner{}
	claim := func(key, service, address string) {
		if address == "" {
			return
		}
		first := cmp.Or(owners[canonical(address)], owner{key, service})
		owners[canonical(address)] = first
		if first.service != service {
			at.complain(key, "%s is %s already (%s); every service has its own address", address, first.key, first.service)
		}
	}
	for _, name := range p.Names() {
		e, key := p.Servers[string(name)], dotted("servers", string(name))
		claim(key+".admin", "the supervisor of "+string(name), e.Admin)
		claim(key+".replication", "PostgreSQL of "+string(name), e.Replication)
		claim(key+".client", "PostgreSQL of "+string(name), e.Client)
	}
	claim("arbiter.address", "the arbiter", p.Arbiter.Address)
}
