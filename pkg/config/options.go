package config

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// checkOptions refuses the keywords that mcctl writes itself, and secrets, which would end
// up readable in postgresql.conf, in pg_settings and among the arguments of pg_basebackup
// and pg_rewind.
func (r *Replication) checkOptions(at *source) {
	names, err := keywords(r.Options)
	if err != nil {
		at.complain("replication.options", "%v", err)
		return
	}
	ours := []string{"host", "hostaddr", "port", "user", "dbname", "application_name", "replication", "passfile"}
	for _, name := range names {
		// libpq knows lower case alone, but a secret can be read in any.
		switch mend, refused := refusedOptions[strings.ToLower(name)]; {
		case refused:
			at.complain("replication.options", "%s", mend)
		case slices.Contains(ours, name):
			at.complain("replication.options", "%s is set by mcctl; remove it", name)
		}
	}
}

// refusedOptions are libpq's keywords for secrets, of 13 to 18 (PQconninfoOptions in
// fe-connect.c: what is to be hidden), and a service, of which an address (hostaddr) would
// win over ours. The file of a service is one's of 19.
var refusedOptions = map[string]string{
	"password":            "must not hold a password; put it into the file that replication.passfile names",
	"sslpassword":         "must not hold sslpassword; take a key without a passphrase, of mode 0600",
	"oauth_client_secret": "must not hold oauth_client_secret; have the other server let the role in by a password or a certificate",
	"scram_client_key":    "must not hold scram_client_key; put the password into the file that replication.passfile names",
	"scram_server_key":    "must not hold scram_server_key; put the password into the file that replication.passfile names",
	"service":             "service may lead to another server; write here what the service says beside host, port and user",
	"servicefile":         "servicefile may lead to another server; write here what the service says beside host, port and user",
}

var (
	errNoOptions = errors.New(`must be keywords of libpq with their values, such as "sslmode=verify-full sslrootcert='/my certs/ca.crt'"`)
	keyword      = regexp.MustCompile(`^[\s\v]*(\w+)[\s\v]*=[\s\v]*`)
	// optionValue is quoted, or goes to a blank; a backslash takes the next character as it is.
	optionValue = regexp.MustCompile(`(?s)^(?:'(?:\\.|[^'\\])*'|(?:\\.|[^'\\\s\v])(?:\\.|[^\\\s\v])*|$)`)
)

// keywords lists those of a libpq connection string, which it reads as libpq does
// (conninfo_parse in fe-connect.c, 13 to 18).
func keywords(options string) (names []string, err error) {
	for rest := options; strings.TrimSpace(rest) != ""; {
		name := keyword.FindStringSubmatch(rest)
		if name == nil {
			return nil, errNoOptions
		}
		rest = rest[len(name[0]):]
		value := optionValue.FindStringIndex(rest)
		if value == nil {
			return nil, errNoOptions
		}
		names, rest = append(names, name[1]), rest[value[1]:]
	}
	return names, nil
}
