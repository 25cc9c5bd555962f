// Package e2e holds the tests that run Laurel as its users do: real frontends and real bards, each a process of its own, on this
// machine's loopback interface and disk. They are killed, cut off from their disk, moved and replaced while real Games are sung; what
// they show afterwards is compared with the truth.
//
// The Games are looked for in the directory named by LAUREL_GAMES, else in ../shared/data beside the repository; a test that needs
// them is skipped where they are missing. LAUREL_CI=full makes every such skip a failure. LAUREL_LONG=1 lets the killing go on for minutes.
package e2e
