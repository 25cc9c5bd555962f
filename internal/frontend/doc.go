// Package frontend puts a whole frontend together: a member of the Raft group, the HTTP API that
// answers from its memory, and the server that listens for clients. The laurel command runs one in
// a process; tests run several in one process.
//
// Start is the only place that knows both package cluster and package httpapi.
package frontend
