// Package pair holds the scenarios that a whole pair must come through: real
// PostgreSQL, real supervisors, a real witness, writers all the time. How fast it
// is belongs to test/bench; here only what happens counts, and that nothing is lost.
package pair
