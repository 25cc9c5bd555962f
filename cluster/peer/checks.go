package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/trust/pki"
)

// Reasons of laurel_raft_refused_total.
const (
	reasonTerm          = "term"          // see MaxTermStep
	reasonEntries       = "entries"       // they do not follow each other, or are of no known type
	reasonUnreadable    = "unreadable"    // the state machine cannot parse a command
	reasonConfiguration = "configuration" // it cannot be decoded
	reasonTransfer      = "transfer"      // another member than the leader asks this one to stand for election
	reasonSender        = "sender"        // it has no vote, or is not the sender that the message names
	reasonForgot        = "forgot"        // this member may have forgotten what it acknowledged, and does not vote
)

// ErrStarting is the error of TransportConfig.MayVote of a member that has just started.
var ErrStarting = errors.New("this member has just started")

// MaxTermStep is how far ahead of its own term a member believes a term. Raft stores each
// higher term that it sees and never goes back, so one message could use up all terms. An
// election takes at least its timeout: to be this far behind, a member must have been
// down during hours of elections without end. See Transport.approach for such members.
const MaxTermStep = 1 << 16

// checkTerm returns an error if term is too far ahead of own to be believed. A member
// without a term believes any. reported reports whether a majority of the voters that
// this member knows say that their term is at least atLeast.
func checkTerm(term, own uint64, reported func(atLeast uint64) bool) error {
	if own == 0 || term <= own || term-own <= MaxTermStep || reported(term-MaxTermStep) {
		return nil
	}
	return fmt.Errorf("term %d is more than %d ahead of this member's term %d, "+
		"and no majority of the voters confirms it", term, MaxTermStep, own)
}

// termOf returns the term of a request of Raft; 0 if it has none.
func termOf(request any) uint64 {
	switch r := request.(type) {
	case *raft.AppendEntriesRequest:
		return r.Term
	case *raft.RequestVoteRequest:
		return r.Term
	case *raft.RequestPreVoteRequest:
		return r.Term
	case *raft.InstallSnapshotRequest:
		return r.Term
	}
	return 0
}

// Servers returns the servers of r's latest configuration. The slice is Raft's own.
func Servers(r *raft.Raft) []raft.Server { return r.GetConfiguration().Configuration().Servers }

// Find returns the server with an id.
func Find(servers []raft.Server, id raft.ServerID) (s raft.Server, ok bool) {
	if i := slices.IndexFunc(servers, func(s raft.Server) bool { return s.ID == id }); i >= 0 {
		return servers[i], true
	}
	return s, false
}

// FindID returns the server of the member with an id.
func FindID(servers []raft.Server, id string) (s raft.Server, ok bool) {
	if i := slices.IndexFunc(servers, func(s raft.Server) bool { return MemberID(s.ID) == id }); i >= 0 {
		return servers[i], true
	}
	return s, false
}

// Voters returns the voters of r's latest configuration.
func Voters(r *raft.Raft) []raft.Server {
	nonvoter := func(s raft.Server) bool { return s.Suffrage != raft.Voter }
	return slices.DeleteFunc(slices.Clone(Servers(r)), nonvoter)
}

// checkRequest returns an error if Raft must not see a request, and the reason under
// which that is counted.
func (t *Transport) checkRequest(request any) (reason string, err error) {
	switch r := request.(type) {
	case *raft.AppendEntriesRequest:
		return t.checkEntries(r)
	case *raft.RequestVoteRequest:
		return reasonTerm, checkLastTerm(r.Term-1, r.LastLogTerm)
	case *raft.RequestPreVoteRequest:
		return reasonTerm, checkLastTerm(r.Term-1, r.LastLogTerm)
	case *raft.InstallSnapshotRequest:
		if err := checkLastTerm(r.Term, r.LastLogTerm); err != nil {
			return reasonTerm, err
		}
		if r.SnapshotVersion != raft.SnapshotVersionMax {
			return reasonConfiguration, fmt.Errorf("got a snapshot of version %d; want %d",
				r.SnapshotVersion, raft.SnapshotVersionMax)
		}
		return reasonConfiguration, checkConfiguration(r.Configuration, r.LastLogIndex)
	case *raft.TimeoutNowRequest:
		return reasonTransfer, t.checkTransfer(r)
	}
	return "", nil
}

// checkTransfer returns an error unless the leader that this member follows asks it to
// take over. Raft checks neither the sender nor a term: any sender could depose the
// master, and the election that follows skips the pre-vote.
func (t *Transport) checkTransfer(r *raft.TimeoutNowRequest) error {
	_, leader, _ := t.following()
	if leader == "" || leader != raft.ServerID(r.ID) {
		return fmt.Errorf("%q asks this member to stand for election, but it follows %q", r.ID, leader)
	}
	return nil
}

// checkSender returns an error unless a request is from a voter, which it names as its
// sender. The address that it names must not be another member's: Raft tells by it
// whether a candidate is the one that it has voted for.
func (t *Transport) checkSender(from pki.Holder, request any) error {
	if from.Member == "" {
		return nil // the members do not authenticate each other
	}
	if err := requireRole(t.config.Port.config.Auth.Role(from), pki.Voter, from); err != nil {
		return err
	}
	named, ok := request.(raft.WithRPCHeader)
	if !ok {
		return fmt.Errorf("a request of %q without a sender", from.Member)
	}
	h := named.GetRPCHeader()
	if string(h.ID) != from.Member || len(h.Addr) == 0 {
		return fmt.Errorf("a request of %q names %q at %q as its sender", from.Member, h.ID, h.Addr)
	}
	for _, s := range Servers(t.raft) {
		if string(s.ID) != from.Member && string(s.Address) == string(h.Addr) {
			return fmt.Errorf("a request of %q names the address %q of %q", from.Member, h.Addr, s.ID)
		}
	}
	return nil
}

// checkLastTerm returns an error if the last entry that a request contains or names is of
// a later term than latest. A voter compares logs by their last terms: a candidate with
// such an entry would win every election.
func checkLastTerm(latest, last uint64) error {
	if last > latest {
		return fmt.Errorf("got an entry of term %d; the last term possible is %d", last, latest)
	}
	return nil
}

// checkEntries returns an error unless the entries of a request follow the one that it
// names as the previous entry, as those of a leader do, and Raft can store and process
// them: it panics when an entry of an unknown type is committed.
func (t *Transport) checkEntries(r *raft.AppendEntriesRequest) (reason string, err error) {
	term := r.PrevLogTerm
	for i, e := range r.Entries {
		if e == nil || e.Index != r.PrevLogEntry+1+uint64(i) {
			return reasonEntries, fmt.Errorf("entry %d of the request does not follow entry %d of the log",
				i+1, r.PrevLogEntry)
		}
		if e.Term < term {
			return reasonTerm, fmt.Errorf("the terms of the entries after entry %d decrease", r.PrevLogEntry)
		}
		term = e.Term
		if size := len(e.Data) + len(e.Extensions); size > t.config.MaxEntry {
			return reasonEntries, fmt.Errorf("entry %d has %d bytes; want at most %d", e.Index, size, t.config.MaxEntry)
		}
		if _, err := e.AppendedAt.MarshalBinary(); err != nil {
			return reasonEntries, fmt.Errorf("entry %d has a time that the log cannot store: %w", e.Index, err)
		}
		switch e.Type {
		case raft.LogNoop, raft.LogBarrier:
		case raft.LogCommand:
			if err := t.config.CheckCommand(e.Data); err != nil {
				return reasonUnreadable, fmt.Errorf(
					"entry %d: %w; run the version of laurel that the other frontends run", e.Index, err)
			}
		case raft.LogConfiguration:
			if err := checkConfiguration(e.Data, e.Index); err != nil {
				return reasonConfiguration, err
			}
		default:
			return reasonEntries, fmt.Errorf("entry %d is of type %d, which is unknown or of an old version of raft",
				e.Index, e.Type)
		}
	}
	return reasonTerm, checkLastTerm(r.Term, term)
}

// checkConfiguration returns an error if the configuration of the entry at index cannot
// be decoded: raft.DecodeConfiguration panics.
func checkConfiguration(b []byte, index uint64) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the configuration of entry %d is damaged: %v", index, p)
		}
	}()
	raft.DecodeConfiguration(b)
	return nil
}

// Refusals counts and logs refusals by reason. A peer that is refused tries again and
// again: package boundlog bounds the lines for each reason.
type Refusals struct {
	count *prometheus.CounterVec
	log   *slog.Logger
}

// NewRefusals returns Refusals for all the reasons that there are.
func NewRefusals(count *prometheus.CounterVec, log *slog.Logger, reasons ...string) *Refusals {
	for _, reason := range reasons {
		count.WithLabelValues(reason) // exported from the start
	}
	return &Refusals{count, log}
}

// Note counts a refusal, and logs it with args.
func (r *Refusals) Note(level slog.Level, reason, msg string, args ...any) {
	r.count.WithLabelValues(reason).Inc()
	r.log.Log(context.Background(), level, msg, append([]any{"reason", reason}, args...)...)
}
