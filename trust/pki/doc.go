// Package pki makes and verifies the keys, certificates and tokens by which the members
// of a group authenticate each other.
//
// The group has an [Authority], which issues certificates to members. An [Identity] is a
// member's key and certificate, and the authorities that it trusts; it makes the TLS
// configurations for peers and clients. A frontend that joins gets its first certificate
// with a [JoinToken] by [Enroll].
//
// A member is identified by its server id, id@instance, as in Raft's configuration. The
// package does not know who is a member at present; the caller checks that.
package pki
