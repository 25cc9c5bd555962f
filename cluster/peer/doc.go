// Package peer is the port on which the members of a group talk to each other.
//
// One TCP port carries three protocols: Raft, HTTP between members, and the push streams
// of the master. A [Port] dials and accepts these connections. In a secure group an
// [Authenticator] checks the certificates of both ends with mutual TLS, and closes the
// connections of members that were removed. A [Transport] is Raft's transport over the
// port. It refuses requests and answers that hashicorp/raft would accept but that cannot
// be true, or that would undo what this member has promised to others.
//
// Start reading at port.go for connections and at inbound.go for the checks of Raft's
// messages.
package peer
