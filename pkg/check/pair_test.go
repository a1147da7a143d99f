package check

import (
	"testing"

	"mcctl/pkg/config"
)

// The management directories may differ, and relative paths in pair.toml with them.
func TestTheSamePairTomlInTwoManagementDirectories(t *testing.T) {
	side := func(dir, ca string) *Side {
		c := config.Defaults()
		c.Dir, c.Pair.Arbiter.Kind = dir, config.Etcd
		c.Pair.Arbiter.Etcd.CA = ca
		return &Side{Config: c}
	}
	for _, c := range []struct {
		name, here, there string
		differ            bool
	}{
		{"relative", "/etc/mcctl/orders/tls/ca.crt", "/srv/orders/tls/ca.crt", false},
		{"absolute", "/etc/mcctl/orders/tls/ca.crt", "/etc/mcctl/orders/tls/ca.crt", false},
		{"elsewhere", "/etc/etcd/ca.crt", "/etc/etcd/ca.crt", false},
		{"another", "/etc/mcctl/orders/tls/ca.crt", "/srv/orders/tls/other.crt", true},
		{"another directory", "/etc/mcctl/orders/tls/ca.crt", "/srv/ca.crt", true},
	} {
		found := samePair(View{Me: side("/etc/mcctl/orders", c.here), Other: side("/srv/orders", c.there)})
		if differ := len(found) > 0; differ != c.differ {
			t.Errorf("%s: %+v", c.name, found)
		}
	}
}
