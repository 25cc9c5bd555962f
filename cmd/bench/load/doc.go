// Package load generates load for the benchmarks: durable writes one after another or on
// a schedule, streams of events, floods over thousands of connections, and thousands of
// watchers.
//
// The generator shares the processors with the servers that it loads. So it speaks
// HTTP/1.1 itself, with just enough code to read a frontend's answers: what the generator
// costs is taken from the servers.
package load
