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
	"laurel/cluster/enroll"
	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/fsm"
	"laurel/score"
	"laurel/trust/pki"
)

// Path is where a member serves its status on the peer port. The parameter "from" names
// the asking member in an insecure group.
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
	Certified   uint64     `json:"certified,omitzero"`
	CertifiedMS int64      `json:"certified_ms,omitzero"`
	Load        score.Load `json:"load"`
	// Joined is true if the member was ever in a committed configuration.
	Joined bool `json:"joined"`
	enroll.Certificates
	// Certificate is the one with which the answer came; nil in an insecure group.
	Certificate *x509.Certificate `json:"-"`
	// Asker is the asking member's committed entry. Only a master sends it.
	Asker *Place `json:"asker,omitzero"`
	// Held is what the asking member's log was heard to hold; see VoteGate.
	Held *Held `json:"held,omitzero"`
	// Forgot is the entry that this member was heard to hold and lacks; 0 if there is
	// none.
	Forgot uint64 `json:"forgot,omitzero"`
	// Roster is whether the asking member is in the group; see RemovalCheck.
	Roster *Listing `json:"roster,omitzero"`
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
	Raft     *raft.Raft
	Machine  *fsm.Machine
	Frontend *cache.Frontend
	Store    *raftlog.Store
	Identity *pki.Identity // nil in an insecure group
	Roster   *Roster
	Reports  *Reports
	Gate     *VoteGate
	// Committed looks a server up in the committed configuration that this member knows
	// as the master. leads is false if it is not the master.
	Committed func(raft.ServerID) (s raft.Server, in, leads bool)
	// Certified returns the newest certified round, 0 without one, and the time of its
	// certificate.
	Certified func() (round uint64, at time.Time)

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
		URL: s.URL, Term: s.Raft.CurrentTerm(), Master: string(addr), State: score.Serving,
		Revision: state.Revision, Applied: state.Applied, Digest: state.Digest, LogIndex: s.Raft.LastIndex(),
		Pushed: lease.Pushed, Released: lease.Released, LeaseMS: ceilMS(lease.Lease),
		Joined: s.Store.Joined(), Certificates: enroll.CertificatesOf(s.Identity),
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
	if addr == "" {
		status.State = score.Starting
	}
	server, in, leads := s.Committed(from)
	status.Leads = leads
	if from == "" {
		return status
	}
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
	from := peer.FromContext(r.Context())
	if s.Identity == nil {
		from = r.URL.Query().Get("from")
	}
	return json.MarshalWrite(w, s.Status(raft.ServerID(from)))
}

// ServeRemoved answers a request of a member that was removed. It answers with this
// member's own committed configuration, so every voter can do it.
func (s *Source) ServeRemoved(w http.ResponseWriter, r *http.Request) {
	id := raft.ServerID(peer.FromContext(r.Context()))
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
	f := score.Frontends{Mode: mode, Epoch: s.Raft.CurrentTerm(), Frontends: []score.Frontend{}}
	for _, server := range peer.Servers(s.Raft) {
		e := score.Frontend{
			ID: peer.MemberID(server.ID), Peer: string(server.Address), Voter: server.Suffrage == raft.Voter,
			Master: addr != "" && server.ID == master, State: score.Unreachable,
		}
		if e.Master {
			f.Master = e.ID
		}
		if server.ID == s.Self {
			s.Status("").fill(&e)
		} else if last, fresh := reports.Last(server.ID); fresh {
			last.fill(&e)
		} else {
			e.URL, e.Revision = last.URL, last.Revision
		}
		f.Frontends = append(f.Frontends, e)
	}
	return f
}

func (s Status) fill(e *score.Frontend) {
	e.URL, e.State, e.Revision, e.Pushed, e.Released = s.URL, s.State, s.Revision, s.Pushed, s.Released
	e.Certified, e.CertifiedMS = s.Certified, s.CertifiedMS
	e.LeaseMS, e.Leased, e.Forgotten = s.LeaseMS, s.LeaseMS > 0, s.Forgot
	e.Watchers, e.Reads = s.Load.Watchers, s.Load.Reads
}
