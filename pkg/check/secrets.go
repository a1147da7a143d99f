package check

import (
	"fmt"
	"strings"
)

// secretChecks look at who else can read the secrets, or write where the supervisor
// keeps what it knows.
func secretChecks() []Check {
	return []Check{
		{
			ID: "secret-mode", What: "keys and passfiles have mode 0600", Severity: Error,
			Why:    "whoever can read a key can be a supervisor; libpq ignores a passfile that others can read",
			Mend:   "chmod 0600 {path}",
			Blocks: blocks(Rewind, Rebuild), Needs: needs(Files), Judge: secretMode,
		},
		{
			ID: "mcdir-mode", What: "the management directory and what it holds cannot be written by others", Severity: Warning,
			Why:   "whoever can write the copy of the record can say who is primary",
			Mend:  "chmod go-w {path}",
			Needs: needs(Files), Judge: mcdirMode,
		},
		{
			ID: "authority-key", What: "the key of the certificate authority, where it is kept in the management directory, can be read by its owner only", Severity: Error,
			Why:   "whoever can read it makes himself a certificate, and is a member of the pair",
			Mend:  "chmod 0600 {path}, and chown {owner} {path} or root; better: move it to another machine, it is needed for new members only",
			Needs: needs(Files), Judge: openAuthority,
		},
		{
			ID: "etcd-secrets", What: "the key and the password file for etcd have mode 0600", Severity: Error,
			Why:   "whoever can read them can write the record and say who is primary, and the supervisor would not start again with them",
			Mend:  "chmod 0600 {path}",
			Needs: needs(Files), Judge: etcdSecrets,
		},
		{
			// A remark: mcctl makes the directory with mode 0700, and all in it that is secret
			// with modes of its own, which other checks look at.
			ID: "mcdir-readable", What: "the management directory cannot be read or entered by others", Severity: Info,
			Why:   "others see where the servers are and what is in order; keys, passfiles, logs and the supervisor's socket have modes of their own, but what an operator puts there has the mode that he gave it",
			Mend:  "chmod go-rx {path}",
			Needs: needs(Files), Judge: mcdirReadable,
		},
	}
}

func secretMode(v View) []Trouble { return tooOpen(v, "key", "passfile", "passfile of replication") }

func etcdSecrets(v View) []Trouble { return tooOpen(v, etcdKey, etcdPassword) }

// tooOpen are those of the secrets that others can read.
func tooOpen(v View, names ...string) (found []Trouble) {
	_, owner := v.Me.owner()
	for _, name := range names {
		if p, ok := v.Me.path(name); ok && p.Mode&0o077 != 0 {
			found = append(found, Trouble{fmt.Sprintf("%s %s has mode %04o, not 0600", p.Name, p.Path, p.Mode), fill("path", p.Path, "owner", owner)})
		}
	}
	return found
}

func mcdirMode(v View) (found []Trouble) {
	for _, p := range v.Me.Paths {
		ours := p.Path == v.Me.Mcdir || strings.HasPrefix(p.Path, v.Me.Mcdir+"/") || p.Name == keyDirectory
		if ours && p.Mode&0o022 != 0 {
			found = append(found, Trouble{fmt.Sprintf("%s %s has mode %04o: others may write it", p.Name, p.Path, p.Mode), fill("path", p.Path)})
		}
	}
	return found
}

func openAuthority(v View) []Trouble {
	uid, owner := v.Me.owner()
	if p, ok := v.Me.path(authorityKey); ok && p.UID != uid && p.UID != 0 {
		return one(fmt.Sprintf("%s %s belongs to %s, not to %s or root", p.Name, p.Path, p.User, owner), "path", p.Path, "owner", owner)
	}
	return tooOpen(v, authorityKey)
}

func mcdirReadable(v View) []Trouble {
	if p, _ := v.Me.path("management directory"); p.Mode&0o055 != 0 {
		return one(fmt.Sprintf("%s %s has mode %04o: others may read or enter it", p.Name, p.Path, p.Mode), "path", p.Path)
	}
	return nil
}
