package conffiles

import (
	"fmt"

	"mcctl/pkg/pgconf"
)

// Closed tells, a line each, which of the settings stand in files that we may not write, or
// would have to be added to such a file, why not, and how to mend that.
func Closed(t *pgconf.Tree, names []string) (trouble []string) {
	for _, name := range names {
		stands := false // where mcctl would set it: postgresql.auto.conf is no place for it
		for _, o := range t.All(name) {
			stands = stands || !o.Auto
			if why := Refusal(o.File); why != "" {
				trouble = append(trouble, fmt.Sprintf("%s: mcctl must be able to change %s, but %s; or move the line to a file that mcctl may write", o.Place(), name, why))
			}
		}
		home := t.Home(name)
		if why := Refusal(home); !stands && why != "" {
			trouble = append(trouble, fmt.Sprintf("%s: mcctl must be able to add %s, but %s; or put #%s = '' into a file that mcctl may write", home, name, why, name))
		}
	}
	return trouble
}
