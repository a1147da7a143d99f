package cli

import (
	"strings"

	"mcctl/pkg/config"
	"mcctl/pkg/setup"
)

// question is how an answer is asked for, with what is likely.
type question struct {
	flag, text string
	likely     func(setup.Plan) string
	// check says what is wrong with an answer, which is asked for again then.
	check func(string) error
	// when is for what is asked only where the flags leave the arbiter open; without it,
	// what is needed is asked for.
	when     func(setup.Plan) bool
	optional bool
}

func questions() []question {
	word := func(s string) func(setup.Plan) string { return func(setup.Plan) string { return s } }
	all := []question{
		{flag: "pair", text: "name of the pair", check: config.CheckPairName},
		{flag: "name", text: "name of this server", check: config.CheckServerName, likely: word("server1")},
		{flag: "admin", text: "host:port of this server's supervisor", check: config.CheckAddress},
		{flag: "replication", text: "host:port of this server's PostgreSQL", check: config.CheckAddress, likely: func(p setup.Plan) string { return withPort(p.Admin, "5432") }},
		{flag: "other-name", text: "name of the other server", check: config.CheckServerName, likely: word("server2")},
		{flag: "other-admin", text: "host:port of the other server's supervisor", check: config.CheckAddress},
		{flag: "other-replication", text: "host:port of the other server's PostgreSQL", check: config.CheckAddress, likely: func(p setup.Plan) string { return withPort(p.OtherAdmin, "5432") }},
		{flag: "arbiter-kind", text: "kind of the arbiter: " + arbiterKinds, check: checkArbiterKind, likely: word("witness"), when: func(setup.Plan) bool { return true }},
		{flag: "arbiter-address", text: "host:port of the witness", check: config.CheckAddress},
	}
	all = append(all, etcdQuestions()...)
	return append(all,
		question{flag: "arbitration-command", text: "file of the command that says whether the other server is dead"},
		question{flag: "fencing-command", text: "file of the command that cuts the other server off"},
		question{flag: "data-directory", text: "PostgreSQL's data directory"})
}

// etcdQuestions leave to flags what is good as it is.
func etcdQuestions() []question {
	secure := func(p setup.Plan) bool { return strings.Contains(p.Endpoints, "https://") }
	return []question{
		{flag: "arbiter-endpoints", text: "endpoints of etcd, all members, such as https://192.0.2.21:2379, with commas in between"},
		{flag: "arbiter-ca", text: "file of the authority of the members' certificates", when: secure},
		{flag: "arbiter-cert", text: "file of this server's certificate for etcd", when: secure, optional: true},
		{flag: "arbiter-key", text: "file of its key", when: func(p setup.Plan) bool { return p.EtcdCertificate != "" }},
		{flag: "arbiter-user", text: "name to log in to etcd as", when: func(p setup.Plan) bool { return p.Endpoints != "" }, optional: true},
		{flag: "arbiter-password-file", text: "file that holds the password in one line", when: func(p setup.Plan) bool { return p.EtcdUser != "" }},
	}
}

// withPort is an address with another port.
func withPort(address, port string) string {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return ""
	}
	return address[:i+1] + port
}
