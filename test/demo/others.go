// Code generated from docs/benchmarks.json by make docs; DO NOT EDIT.

package main

// others are the medians of what others took, by the events of make bench.
var others = map[string]string{
	"switch":          "repmgr 0.57 s, pg_auto_failover 2.05 s, Patroni 1.45 s",
	"kill-postmaster": "repmgr 51 s, pg_auto_failover 5.05 s, Patroni 9.11 s",
	"kill-server":     "repmgr 51 s, pg_auto_failover 51 s, Patroni 28 s",
}
