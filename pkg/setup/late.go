package setup

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"mcctl/pkg/config"
)

// tooLate lists the flags that are answered now, were not before, and would go into a file
// that is there: it stays as it is (write), so they would be forgotten.
func (s *Setup) tooLate(kind string, before Plan) (flags []string) {
	_, port := split(before.Replication)
	carriers := map[string]func(Plan) string{
		filepath.Join(caDir, "ca.crt"): func(p Plan) string { return p.CA },
		config.PairFile:                Plan.pairTOML,
		config.ServerFile:              func(p Plan) string { return p.serverTOML(port) },
		config.ArbiterFile:             func(p Plan) string { return p.ownTOML("") },
	}
	if kind != First {
		delete(carriers, config.PairFile) // the first server's
	}
	was, is := reflect.ValueOf(before), reflect.ValueOf(s.state.Plan)
	for i := range was.NumField() {
		flag := was.Type().Field(i).Tag.Get("flag")
		if flag == "" || was.Field(i).Equal(is.Field(i)) {
			continue
		}
		with := before
		reflect.ValueOf(&with).Elem().Field(i).Set(is.Field(i))
		for name, text := range carriers {
			if _, err := os.Lstat(s.path(name)); err == nil && text(with) != text(before) {
				flags = append(flags, "--"+flag)
			}
		}
	}
	slices.Sort(flags)
	return slices.Compact(flags)
}
