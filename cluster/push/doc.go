// Package push carries the messages of package cache between the master and the
// frontends.
//
// A [Sender] is the master's end during one epoch. It keeps a stream to each member, runs
// the cache.Master and sends its messages, and pushes what the state machine applies. A
// [Receiver] is a frontend's end: it admits the streams of the master that Raft follows,
// and no others, and passes their messages to the cache.Frontend. Streams also carry
// [CommitHints].
//
// Start reading at Sender.Push and Receiver.Serve; wire.go defines the format of the
// messages.
package push
