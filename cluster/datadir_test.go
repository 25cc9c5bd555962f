package cluster

// The files of a data directory, and the keys of Raft's stable store. Tests name them
// here and not by the constants of raftlog, so that a change of the layout does not go
// unnoticed.
const (
	identityFile     = "member.json"
	removedFile      = "removed"
	voteFile         = "raft.db"
	logDir           = "wal"
	snapshotDir      = "snapshots"
	unfinished       = ".tmp" // the suffix of a snapshot that is being written
	termKey          = "CurrentTerm"
	voteTermKey      = "LastVoteTerm"
	voteCandidateKey = "LastVoteCand"
)
