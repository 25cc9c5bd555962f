// Package cluster is one member of the group of frontends: it keeps the Raft log with the others, hands posts to the master, and at the
// master gathers them into entries of the log.
//
//	member.go      starting and stopping a member
//	storage.go     its data directory: identity, log, snapshots
//	disk.go        a disk that fails or hangs ends the frontend
//	port.go        the one port between members: Raft and HTTP
//	secure.go      certificates on that port: who may come in
//	certify.go     getting a certificate, and renewing it
//	enroll.go      the first certificate of a frontend that joins
//	rotate.go      another authority for the group
//	transport.go   Raft's messages, each to the member that it is meant for
//	gather.go      posts that arrive while an entry is in flight become the next entry
//	post.go        the way of a post: here if this is the master, else to the master; again if the master was lost
//	leadership.go  being the master, from the election to the loss
//	confirm.go     proving to be the master still, before a read is answered
//	forward.go     letting the master answer an HTTP request
//	membership.go  join and leave
//	transfer.go    making another member the master
//	announce.go    a member that makes itself known
//	roster.go      the newest committed configuration
//	removal.go     who is believed that says that this member was removed
//	contradiction.go  a data directory that the member must not go on with
//	neighbours.go  what the members know of each other
package cluster
