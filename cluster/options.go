package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cache"
	"laurel/cluster/autopilot"
	"laurel/cluster/batch"
	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/cluster/sworn"
	"laurel/internal/address"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Options configure a member.
type Options struct {
	ID   string // unique in the group; letters, digits and ._~-
	Dir  string // the data directory, made if it does not exist
	Peer string // host:port at which the other members reach this one
	// PeerListen is the host:port on which it listens for them; "" for Peer.
	PeerListen string
	URL        string // the address for clients, which other members report to theirs
	// Bootstrap makes a new group of this member alone, if the directory has no member
	// yet.
	Bootstrap bool
	// Founding is what the group that this member makes begins with.
	Founding Founding
	// Private is the first value of the setting private of a group that this member makes.
	// It needs Guarded.
	Private bool
	// Lineage is that of the store of a group that this member makes; "" has one made up. Start
	// refuses it with a LineageError for the data of a store with another one.
	Lineage string
	// Join has URLs of members of the group to join, if this member is not in it, or names in
	// DNS, as address.ParsePlace takes them.
	Join []string
	// Nonvoter joins without a vote. Start refuses it with ErrHasVote for a voter.
	Nonvoter bool
	// Replace has a member that joins take the place of a dead one with its id. In a secure
	// group its join token must be for that.
	Replace bool
	// Guarded refuses events that are neither signed nor sent with a token. It is for
	// secure groups.
	Guarded bool
	Version string // of the build, which members report to each other
	// MaxFormat is the latest format of the group in which this member takes part. A group
	// that it makes has this format. 0 means the latest that this version reads.
	MaxFormat uint64
	// TimeScale stretches all timings of failover; 1 is for a local network. 0 means 1.
	TimeScale float64
	// SnapshotEntries is the number of log entries between snapshots, and of those kept
	// behind one. 0 means the default.
	SnapshotEntries uint64
	// Identity is the member's certificate, for the name that ServerID returns. Without
	// it the members do not authenticate each other.
	Identity *pki.Identity
	// Sworn describes a sworn group. It needs an Identity.
	Sworn sworn.Group

	Logger  *slog.Logger
	Metrics prometheus.Registerer

	hooks testHooks
}

// Founding is what a new group knows before it has a second member. It needs Guarded.
type Founding struct {
	Operator *access.Grant     // of the first operator; nil for none
	Join     *access.JoinToken // with which others join; nil for none
}

// testHooks replaces parts of a member in tests. A zero field replaces nothing.
type testHooks struct {
	dial             peer.Dialer
	listen           peer.Listener
	wrapBackend      func(raftlog.Backend) raftlog.Backend // between Raft and the disk
	logBounds        func(*raftlog.Bounds)
	clock            func() time.Duration
	raftConfig       func(*raft.Config)
	roundTimeout     time.Duration // in the place of roundTimeout
	handshakeTimeout time.Duration // in the place of peer.HandshakeTimeout, for connections that come in
	mutation         cache.Mutation
	policy           *autopilot.Policy // in the place of the settings
	stallTime        time.Duration     // in the place of standing.StallTime
	digestEvery      uint64            // in the place of certify.DigestEvery
	diskFree         func(dir string) (int64, error)
	raiseAfter       time.Duration       // in the place of upgrade.After
	unsealing        func() bool         // reports whether the master seals nothing now
	diverged         func(reason string) // in the place of the end of a member that contradicts the majority
	// send is called in the place of poster.send, which it gets.
	send func(posts []*batch.Post, honestly func([]*batch.Post))
}

// maxID bounds the length of a member's id.
const maxID = 64

// validID reports whether s can be a member's id.
func validID(s string) bool {
	return score.ValidPath(s) && len(s) <= maxID && !strings.Contains(s, "/")
}

// CheckID returns an error unless id can be the id of a member.
func CheckID(id string) error {
	if validID(id) {
		return nil
	}
	return fmt.Errorf("invalid frontend id %q: want at most %d letters, digits and ._~-", id, maxID)
}

func (o *Options) maxFormat() uint64 { return cmp.Or(o.MaxFormat, access.NewestFormat) }

// CheckFormat returns an error unless n can be Options.MaxFormat.
func CheckFormat(n uint64) error {
	if n != 0 && (n < access.OldestFormat || n > access.NewestFormat) {
		return fmt.Errorf("got format %d; want %d to %d", n, access.OldestFormat, access.NewestFormat)
	}
	return nil
}

func (o *Options) check() error {
	if err := CheckID(o.ID); err != nil {
		return err
	}
	if len(o.Sworn.Operator) > 0 && (!o.Guarded || o.Identity == nil) {
		return errors.New("a group that authenticates nobody cannot be sworn")
	}
	if err := CheckFormat(o.MaxFormat); err != nil {
		return err
	}
	if o.Private && !o.Guarded {
		return errors.New("a group that authenticates nobody cannot be private")
	}
	if o.Lineage != "" && !score.ValidLineage(o.Lineage) {
		return fmt.Errorf("the lineage is %q; want 1 to 32 small letters and digits", o.Lineage)
	}
	if err := address.CheckPeer(o.Peer); err != nil {
		return fmt.Errorf("invalid peer address %q: %w", o.Peer, err)
	}
	if _, port, _ := net.SplitHostPort(o.Peer); o.PeerListen != "" && port == "0" {
		return fmt.Errorf("peer address %q has no port: only the port that is listened on can be chosen by the system",
			o.Peer)
	}
	return nil
}

// HasData reports whether a data directory has a member that was in a group.
func HasData(dir string) (bool, error) { return raftlog.HasData(dir) }

// CheckEnded returns why the member of a data directory never starts again, nil if it does.
func CheckEnded(dir string) error { return raftlog.CheckEnded(dir) }

// ServerID returns the name, id@instance, of the member with an id and a data directory,
// which is made if it does not exist. A certificate for it is made before the member
// starts.
func ServerID(dir, id string) (string, error) {
	if err := CheckID(id); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the data directory: %w", err)
	}
	server, err := raftlog.LoadServerID(dir, id)
	return string(server), err
}
