// Package e2e holds the tests that run Laurel as its users do: real frontends and bards,
// each a process, on the loopback interface and disk of this machine.
//
// The tests kill, pause, move and replace frontends, cut them off from each other and
// from their disks while events are posted, and compare the answers with what was posted.
// In the consistency tests many clients post and read meanwhile, and porcupine checks
// that everything they saw is linearizable (linearizable_test.go, with the specification
// in history_test.go).
//
// The tests that post real Games find them in the directory LAUREL_GAMES, or in
// ../shared/data beside the repository, and are skipped without them. Cuts need a network
// namespace, which root can make, and other users if the system allows it
// (network_test.go). The tests carry the packets of slow links themselves, between TUN
// devices (slow_link_test.go). LAUREL_CI=full turns each skip into a failure and runs the
// long forms.
//
// LAUREL_LONG=1 makes the tests with faults take minutes. LAUREL_RUNS is the number of
// histories and LAUREL_SEED the seed of the first; each logs a line for the table in
// docs/benchmarks.md.
package e2e
