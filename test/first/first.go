// Package first sets up pairs as docs/init.md says, command block by command block,
// on real PostgreSQL with writers, and kills mcctl init at each of its steps. It has
// no code but tests.
package first
