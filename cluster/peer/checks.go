package peer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// Reasons of laurel_raft_refused_total.
const (
	reasonTerm          = "term"          // see MaxTermStep
	reasonEntries       = "entries"       // they do not follow each other, or are of no known type
	reasonConfiguration = "configuration" // it cannot be decoded
	reasonTransfer      = "transfer"      // another member than the leader asks this one to stand for election
)

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

// Voters returns the voters of r's latest configuration.
func Voters(r *raft.Raft) []raft.Server {
	config := r.GetConfiguration()
	if config.Error() != nil {
		return nil
	}
	var voters []raft.Server
	for _, s := range config.Configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters = append(voters, s)
		}
	}
	return voters
}

// checkTransfer returns an error unless the leader that this member follows asks it to
// take over. Raft checks neither the sender nor a term: any sender could depose the
// master, and the election that follows skips the pre-vote.
func (t *Transport) checkTransfer(request any) error {
	r, ok := request.(*raft.TimeoutNowRequest)
	if !ok {
		return nil
	}
	_, leader, _ := t.following()
	if leader == "" || leader != raft.ServerID(r.ID) {
		return fmt.Errorf("%q asks this member to stand for election, but it follows %q", r.ID, leader)
	}
	return nil
}

// checkEntryTerms returns an error if an entry that a request contains or names is of a
// later term than the request. A voter compares logs by their last terms: a candidate
// with such an entry would win every election.
func checkEntryTerms(request any) error {
	term := termOf(request)
	var latest uint64 // the latest possible term of an entry
	var last uint64   // the term of the last entry
	switch r := request.(type) {
	case *raft.AppendEntriesRequest:
		latest, last = term, r.PrevLogTerm
		for _, e := range r.Entries {
			if e == nil || e.Term < last {
				return fmt.Errorf("the terms of the entries after entry %d decrease", r.PrevLogEntry)
			}
			last = e.Term
		}
	case *raft.RequestVoteRequest:
		latest, last = term-1, r.LastLogTerm
	case *raft.RequestPreVoteRequest:
		latest, last = term-1, r.LastLogTerm
	case *raft.InstallSnapshotRequest:
		latest, last = term, r.LastLogTerm
	}
	if last > latest {
		return fmt.Errorf("a request of term %d names an entry of term %d", term, last)
	}
	return nil
}

// checkEntries returns an error unless the entries of a request follow the one that it
// names as the previous entry, as those of a leader do, and are of types that Raft knows:
// it panics when an entry of another type is committed.
func (t *Transport) checkEntries(request any) error {
	r, ok := request.(*raft.AppendEntriesRequest)
	if !ok {
		return nil
	}
	for i, e := range r.Entries {
		if e == nil || e.Index != r.PrevLogEntry+1+uint64(i) {
			return fmt.Errorf("entry %d of the request does not follow entry %d of the log", i+1, r.PrevLogEntry)
		}
		if size := len(e.Data) + len(e.Extensions); size > t.config.MaxEntry {
			return fmt.Errorf("entry %d has %d bytes; want at most %d", e.Index, size, t.config.MaxEntry)
		}
		if _, err := e.AppendedAt.MarshalBinary(); err != nil {
			return fmt.Errorf("entry %d has a time that the log cannot store: %w", e.Index, err)
		}
		switch e.Type {
		case raft.LogCommand, raft.LogNoop, raft.LogBarrier, raft.LogConfiguration:
		default:
			return fmt.Errorf("entry %d is of type %d, which is unknown or of an old version of raft", e.Index, e.Type)
		}
	}
	return nil
}

// checkConfigurations returns an error if a request has a configuration that cannot be
// decoded: Raft would panic.
func checkConfigurations(request any) error {
	switch r := request.(type) {
	case *raft.AppendEntriesRequest:
		for _, e := range r.Entries {
			if e.Type != raft.LogConfiguration {
				continue
			}
			if _, err := DecodeConfiguration(e.Data); err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
		}
	case *raft.InstallSnapshotRequest:
		if r.SnapshotVersion != raft.SnapshotVersionMax {
			return fmt.Errorf("got a snapshot of version %d; want %d", r.SnapshotVersion, raft.SnapshotVersionMax)
		}
		if _, err := DecodeConfiguration(r.Configuration); err != nil {
			return fmt.Errorf("snapshot at entry %d: %w", r.LastLogIndex, err)
		}
	}
	return nil
}

// DecodeConfiguration is raft.DecodeConfiguration with an error instead of a panic.
func DecodeConfiguration(b []byte) (c raft.Configuration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the configuration of the group is damaged: %v", p)
		}
	}()
	return raft.DecodeConfiguration(b), nil
}

// logPause is the shortest time between two log lines about refusals for the same reason.
const logPause = 10 * time.Second

// Refusals counts refusals by reason, and logs each reason at most once in logPause:
// whoever is refused tries again and again.
type Refusals struct {
	count *prometheus.CounterVec
	log   *slog.Logger
	pause map[string]*rate.Sometimes // by reason
}

// NewRefusals returns Refusals for all the reasons that there are.
func NewRefusals(count *prometheus.CounterVec, log *slog.Logger, reasons ...string) *Refusals {
	r := &Refusals{count: count, log: log, pause: map[string]*rate.Sometimes{}}
	for _, reason := range reasons {
		count.WithLabelValues(reason) // exported from the start
		r.pause[reason] = &rate.Sometimes{Interval: logPause}
	}
	return r
}

// Note counts a refusal, and logs it with args.
func (r *Refusals) Note(level slog.Level, reason, msg string, args ...any) {
	r.count.WithLabelValues(reason).Inc()
	r.pause[reason].Do(func() {
		r.log.Log(context.Background(), level, msg, append([]any{"reason", reason}, args...)...)
	})
}
