// Package e2e holds the tests that run Laurel as its users do: real frontends and real bards, each a process of its own, on this
// machine's loopback interface and disk. They are killed, cut off from their disk, moved and replaced while real Games are sung; what
// they show afterwards is compared with the truth. And they are killed, stopped, cut off from each other, changed and switched while many
// clients post and look: what all those saw must have an order, which porcupine searches (linear_test.go, and history_test.go for what
// the order must be).
//
// The Games are looked for in the directory named by LAUREL_GAMES, else in ../shared/data beside the repository; a test that needs
// them is skipped where they are missing. Cuts need a network of the test's own, which root can make, and users where the system lets them
// (cut_test.go). LAUREL_CI=full makes every such skip a failure.
//
// A slow link is carried by the test itself, between TUN devices in such networks (link_test.go).
//
// LAUREL_LONG=1 lets the killing go on for minutes, and makes a history a minute long, with large snapshots. LAUREL_RUNS says how many histories there are, and
// LAUREL_SEED which seed is the first; each logs a line for the table in docs.
package e2e
