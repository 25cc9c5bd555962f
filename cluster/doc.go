// Package cluster is one member of the group of frontends. It replicates the log of
// events with Raft and answers reads from the member's own state.
//
// [Start] starts a [Member], whose exported methods are mostly those of its parts. A post
// goes to the poster, which batches concurrent posts into one log entry (group commit) at
// the master, and forwards them to the master elsewhere. A read goes to the reader in
// push mode or to a poll.Reader in pull mode; a forward.Forwarder lets the master answer what this
// member may not. While Raft elects this member, elections keeps a leadership for the
// epoch. The other parts are readiness, membership, accessControl and transfers; each
// embeds replica, which is what they share.
//
// The sub-packages hold what can be read alone: raftlog and snapshots store Raft's data,
// peer is the port between members, batch is the group commit, push carries the push
// protocol, poll answers reads in pull mode, readindex proves that a member is the master,
// forward lets the master answer, join asks to join the group, enroll issues certificates
// of TLS, certify makes those of answers in a sworn group, spotcheck asks other members as a
// reader would, standing acts on what these show of members, status is what members know of
// each other, and metrics counts.
//
// Start reading at member.go, then follow a post from post.go.
package cluster
