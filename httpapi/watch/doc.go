// Package watch sends changes to watchers as server-sent events: thousands of connections,
// served by a few goroutines.
//
// The frontend's cache invalidates the names of records, timelines and leaderboards that have
// changed. For each name that somebody watches, the [Hub] fetches the answer once, encodes it
// once and queues the frame for every [Watcher] of the name. A watcher's queue keeps only the
// newest frame of a record, so a slow reader gets the latest state rather than a backlog;
// timeline events are never dropped. Writers write without blocking; whatever a connection
// does not accept at once is written by a goroutine of its own, with a deadline.
//
// Leaderboards have a path of their own: a [Window] is refreshed at most every 500 ms and is
// sent as the difference to the previous version.
//
// Start reading at Hub.dispatch, then Watcher.appendPending.
package watch
