// Package status is what the members of a group know of each other.
//
// Each member serves a [Status] of itself, made by a [Source], and polls that of the
// others with a [Poller], which stores it in [Reports]. A [Roster] is the newest
// committed configuration that the member has applied. From these a [RemovalCheck]
// decides whether the member was removed from its group.
package status

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cluster/disk"
	"laurel/cluster/enroll"
	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/fsm"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Path is where a member serves its status on the peer port. The parameter "from" names
// the asking member in an insecure group, "incarnation" that of its store, and "peer" its
// peer address.
const Path = "/peer/v1/status"

// Digest is the digest of fsm.State, in hexadecimal in JSON.
type Digest [32]byte

// MarshalText returns the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText returns.
func (d *Digest) UnmarshalText(text []byte) error {
	b, err := hex.AppendDecode(nil, text)
	if err == nil && len(b) != len(d) {
		err = fmt.Errorf("the digest has %d bytes; want %d", len(b), len(d))
	}
	copy(d[:], b)
	return err
}

// Status is what a member reports of itself.
type Status struct {
	Member      raft.ServerID `json:"member"`      // its id and instance
	Process     string        `json:"process"`     // a random name of the process
	Incarnation string        `json:"incarnation"` // of the store; "" if it is not known yet
	URL         string        `json:"url"`
	Term        uint64        `json:"term"`
	Leads       bool          `json:"leads"`
	Master      string        `json:"master"` // the peer address of the master that it knows
	State       string        `json:"state"`
	// Version is the build, and OldestFormat to NewestFormat are the formats of the group that
	// the member reads; see Formats.
	Version      string `json:"version,omitzero"`
	OldestFormat uint64 `json:"format_min,omitzero"`
	NewestFormat uint64 `json:"format_max,omitzero"`
	// OldestProtocol to NewestProtocol are the versions in which it speaks to others; see
	// Protocols.
	OldestProtocol uint64 `json:"protocol_min,omitzero"`
	NewestProtocol uint64 `json:"protocol_max,omitzero"`
	// Revision and Digest are of the state after the entry Applied.
	Revision uint64 `json:"revision"`
	Applied  uint64 `json:"applied"`
	// AppliedTerm is the term of the entry Applied; 0 if the log does not have it any more.
	AppliedTerm uint64 `json:"applied_term"`
	Digest      Digest `json:"digest"`
	// LogIndex and LogTerm are of the last entry of its log.
	LogIndex uint64 `json:"log_index"`
	LogTerm  uint64 `json:"log_term"`
	Pushed   uint64 `json:"pushed"`
	Released uint64 `json:"released"`
	LeaseMS  int64  `json:"lease_ms"` // the rest of the lease; 0 without one
	// Certified is the newest certified round, and CertifiedMS the age of its certificate.
	Certified   uint64 `json:"certified,omitzero"`
	CertifiedMS int64  `json:"certified_ms,omitzero"`
	// Sealed is the newest round that it has made.
	Sealed uint64     `json:"sealed,omitzero"`
	Load   score.Load `json:"load"`
	// Disk is the room on its disk; nil if it does not know, or does not report it.
	Disk *disk.State `json:"disk,omitzero"`
	// Joined is true if the member was ever in a committed configuration.
	Joined bool `json:"joined"`
	// Votes are the last votes that it has given in elections.
	Votes raftlog.Votes `json:"votes,omitzero"`
	enroll.Certificates
	// Certificate is the one with which the answer came; nil in an insecure group.
	Certificate *x509.Certificate `json:"-"`
	// False are the frontends that the member found to answer readers falsely.
	False []string `json:"false,omitzero"`
	// Asked is when the asking member has asked.
	Asked time.Time `json:"-"`
	// Asker is the asking member's committed entry. Only a master sends it.
	Asker *Place `json:"asker,omitzero"`
	// Held is what the asking member's log was heard to hold; see VoteGate.
	Held *Held `json:"held,omitzero"`
	// Forgot is the entry that this member was heard to hold and lacks; 0 if there is
	// none.
	Forgot uint64 `json:"forgot,omitzero"`
	// Heard is how long ago this member has last heard each other one, in milliseconds. Members
	// that it has not heard since it started are left out.
	Heard map[string]int64 `json:"heard,omitzero"`
	// Whole is that of autopilot.Health.
	Whole int `json:"whole,omitzero"`
	// Roster is whether the asking member is in the group; see RemovalCheck.
	Roster *Listing `json:"roster,omitzero"`
}

// Formats returns the formats of the group that the member reads. Versions that know no
// formats report none, and read the first one.
func (s *Status) Formats() (oldest, newest uint64) {
	return max(s.OldestFormat, access.OldestFormat), max(s.NewestFormat, access.OldestFormat)
}

// Protocols returns the versions in which the member speaks to others. Versions of Laurel that
// report none speak one.
func (s *Status) Protocols() (oldest, newest uint64) {
	const first = 3
	return max(s.OldestProtocol, first), max(s.NewestProtocol, first)
}

// Place is a member's entry in a configuration; empty if it is in none.
type Place struct {
	Peer  string `json:"peer,omitzero"`
	Voter bool   `json:"voter,omitzero"`
}

// PlaceOf returns the place of a server.
func PlaceOf(s raft.Server) *Place {
	return &Place{Peer: string(s.Address), Voter: s.Suffrage == raft.Voter}
}

// Listing is whether a configuration has a member.
type Listing struct {
	Index  uint64 `json:"index"`  // of the committed configuration
	Listed bool   `json:"listed"` // the member is in it, or in a later one that is not committed yet
	// Voter is true if the member has a vote in the latest configuration, by which the
	// reporting member decides whether it votes for it.
	Voter bool `json:"voter,omitzero"`
}

// Source makes the status of this member.
type Source struct {
	Self     raft.ServerID
	Process  string // a random name of this process
	Peer     string // the peer address of this member
	URL      string
	Version  string // of the build
	Newest   uint64 // the latest format of the group that this member reads
	Raft     *raft.Raft
	Machine  *fsm.Machine
	Frontend *cache.Frontend
	Store    *raftlog.Store
	Identity *pki.Identity // nil in an insecure group
	Roster   *Roster
	Reports  *Reports
	Moved    *Moved
	Gate     *VoteGate
	// Committed looks a server up in the committed configuration that this member knows
	// as the master. leads is false if it is not the master.
	Committed func(raft.ServerID) (s raft.Server, in, leads bool)
	// Certified returns the newest certified round, 0 without one, and the time of its
	// certificate.
	Certified func() (round uint64, at time.Time)
	// False returns the frontends that this member found to answer readers falsely.
	False func() []string
	// Draining reports whether this frontend is draining.
	Draining func() bool
	// Disk returns the room on the disk of this member; nil if it is not known.
	Disk func() *disk.State

	// Whole returns that of this member's Health.
	Whole func() int

	load atomic.Pointer[func() score.Load]
}

// SetLoad sets the function that returns the load of this frontend.
func (s *Source) SetLoad(load func() score.Load) { s.load.Store(&load) }

// Status returns the status of this member for another one; from is "" if unknown.
func (s *Source) Status(from raft.ServerID) Status {
	addr, _ := s.Raft.LeaderWithID()
	lease, state := s.Frontend.State(), s.Machine.State()
	status := Status{
		Member: s.Self, Process: s.Process, Incarnation: s.Machine.Incarnation(),
		Version: s.Version, OldestFormat: access.OldestFormat, NewestFormat: s.Newest,
		OldestProtocol: peer.OldestProtocol, NewestProtocol: peer.NewestProtocol,
		URL: s.URL, Term: s.Raft.CurrentTerm(), Master: string(addr), State: score.Serving,
		Revision: state.Revision, Applied: state.Applied, Digest: state.Digest, LogIndex: s.Raft.LastIndex(),
		Pushed: lease.Pushed, Released: lease.Released, LeaseMS: ceilMS(lease.Lease),
		Joined: s.Store.Joined(), Votes: s.Store.Votes(), Certificates: enroll.CertificatesOf(s.Identity),
		False: s.False(), Disk: s.Disk(),
	}
	if load := s.load.Load(); load != nil {
		status.Load = (*load)()
	}
	status.LogTerm, status.AppliedTerm = s.termAt(status.LogIndex), s.termAt(status.Applied)
	forgotten, _ := s.Gate.Forgotten()
	status.Forgot = forgotten.Index
	if round, at := s.Certified(); round > 0 {
		status.Certified, status.CertifiedMS = round, max(time.Since(at), 0).Milliseconds()
	}
	if _, next := s.Machine.Rounds().Unsealed(); next > 0 {
		status.Sealed = next - 1
	}
	if addr == "" {
		status.State = score.Starting
	}
	if s.Draining() {
		status.State = score.Draining
	}
	server, in, leads := s.Committed(from)
	status.Leads = leads
	if from == "" {
		return status
	}
	status.Heard, status.Whole = s.Reports.silence(peer.Servers(s.Raft)), s.Whole()
	status.Held = s.HeldBy(from)
	listing := s.Listing(from)
	status.Roster = &listing
	_, latest := peer.Find(peer.Servers(s.Raft), from)
	switch {
	case leads && in:
		status.Asker = PlaceOf(server)
	case leads && !latest: // else it is being added or removed
		status.Asker = &Place{}
	}
	return status
}

// Serve answers a request for the status.
func (s *Source) Serve(w http.ResponseWriter, r *http.Request) error {
	if s.supersedes(w, r) {
		return nil
	}
	from := s.asker(r)
	s.Moved.Note(from, r.URL.Query().Get("peer"))
	return json.MarshalWrite(w, s.Status(from))
}

// asker returns the member that has sent a request; "" if it is not known.
func (s *Source) asker(r *http.Request) raft.ServerID {
	if s.Identity == nil {
		return raft.ServerID(r.URL.Query().Get("from"))
	}
	return raft.ServerID(peer.FromContext(r.Context()))
}

// ServeRemoved answers a request of a member that was removed. It answers with this
// member's own committed configuration, so every voter can do it.
func (s *Source) ServeRemoved(w http.ResponseWriter, r *http.Request) {
	if s.supersedes(w, r) {
		return
	}
	id := s.asker(r)
	w.Header().Set("Connection", "close")
	l := s.Listing(id)
	if l.Listed {
		peer.WriteProblem(w, peer.NotMaster()) // the removal is not committed yet
		return
	}
	peer.WriteRemoved(w, l.Index, score.Problemf(score.Forbidden, "%q was removed from the group", peer.MemberID(id)))
}

func ceilMS(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// Listing returns whether the committed configuration has a member.
func (s *Source) Listing(id raft.ServerID) Listing {
	index, in := s.Roster.Lists(id)
	// A voter that has just started may not have applied everything that is committed. But
	// the entry that added the member is in the logs of a majority.
	latest, inLatest := peer.Find(peer.Servers(s.Raft), id)
	return Listing{index, in || inLatest, inLatest && latest.Suffrage == raft.Voter}
}

// Frontends returns the group as this member sees it.
func (s *Source) Frontends(reports *Reports, mode score.CacheMode) score.Frontends {
	addr, master := s.Raft.LeaderWithID()
	settings := &s.Machine.Access().Settings
	f := score.Frontends{Mode: mode, Format: settings.Format(), FormatHeld: settings.FormatHold,
		Epoch: s.Raft.CurrentTerm(), Frontends: []score.Frontend{}}
	for _, server := range peer.Servers(s.Raft) {
		e := score.Frontend{
			ID: peer.MemberID(server.ID), Peer: s.Moved.Of(string(server.Address)),
			Voter: server.Suffrage == raft.Voter, Master: addr != "" && server.ID == master, State: score.Unreachable,
		}
		if e.Master {
			f.Master = e.ID
		}
		if server.ID == s.Self {
			e.Peer = s.Peer
			s.Status("").fill(&e)
		} else if last, fresh := reports.Last(server.ID); fresh {
			last.fill(&e)
		} else {
			e.URL, e.Revision, e.Version = last.URL, last.Revision, last.Version
		}
		f.Frontends = append(f.Frontends, e)
	}
	return f
}

func (s Status) fill(e *score.Frontend) {
	e.Version = s.Version
	e.OldestFormat, e.NewestFormat = s.Formats()
	e.URL, e.State, e.Revision, e.Pushed, e.Released = s.URL, s.State, s.Revision, s.Pushed, s.Released
	e.Certified, e.CertifiedMS = s.Certified, s.CertifiedMS
	e.LeaseMS, e.Leased, e.Forgotten = s.LeaseMS, s.LeaseMS > 0, s.Forgot
	e.Watchers, e.Reads = s.Load.Watchers, s.Load.Reads
	if s.Disk != nil {
		e.DiskFree, e.NoRoom = &s.Disk.Free, !s.Disk.Room
	}
}
