// Package watch carries what has changed to those who watch: server-sent events, to thousands of connections from a few goroutines.
//
// The frontend's feed names what readers may see anew. For each name that somebody watches the hub fetches the answer once, encodes it
// once, and leaves it with every watcher of it. A watcher keeps the newest for each name, so one that reads slowly gets the latest and not the
// backlog; only timelines are kept event by event. Writers then write to whoever has something, without waiting for anybody: what a connection
// does not take at once, a goroutine of its own brings it, with a deadline.
//
// Read hub.go for the way of a change, watcher.go for what one connection has coming, writer.go for the writing.
package watch
