// Package pki has the keys and certificates by which the members of a group know each other.
//
//	authority.go    the group's certificate authority, which issues certificates to members
//	certificate.go  what a member's certificate says, and checking one
//	identity.go     a member's own key and certificate, on disk and in memory
//	handshake.go    showing it, and looking at another's
//	public.go       what clients are shown
//	files.go        how they are kept
//	token.go        the tokens by which a frontend joins, and by which callers show who they are
//	enroll.go       how a frontend that joins gets its first certificate
//
// A member is named by its server id, id@instance, as in Raft's configuration. The package knows nothing of the group: who is a member of it
// at present is not its question.
package pki
