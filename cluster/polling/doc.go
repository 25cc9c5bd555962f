// Package polling answers reads in pull mode, in which no frontend has a lease.
//
// A [Puller] is a frontend's side: it keeps answers in memory and polls the master again
// for each of them, as often as the schedule of package cache/pull says. A [Server] is
// the master's side: it answers a poll after it has proved that it is still the master.
package polling
