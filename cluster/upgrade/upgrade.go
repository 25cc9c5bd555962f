// Package upgrade raises the format of a group when all its members can read a later one.
//
// Each member reports in its status which formats it reads. The master raises the group to
// the latest one that all of them read when they have reported that for a while, unless the
// format is held. In a sworn group an operator signs the change instead.
// docs/decisions/0017-formats-of-a-group.md defines a format.
package upgrade

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/score"
	"laurel/trust/access"
)

// After is for how long all members must have reported that they read a format before the
// master raises the group to it, at a time scale of 1. Within it an operator can hold the
// format, and a member that was updated can end and be set back.
const After = time.Minute

// Config configures a Raiser.
type Config struct {
	Context context.Context // ends with the member
	Self    raft.ServerID
	Newest  uint64 // the latest format in which this member takes part
	Servers func() []raft.Server
	// Last returns the last status of another member; see status.Reports.
	Last   func(raft.ServerID) (s status.Status, fresh bool)
	Access func() *access.State
	// Leads reports whether this member is the master.
	Leads func() bool
	// Change makes a change at the master, which asks Check.
	Change func(context.Context, access.Change) error
	After  time.Duration // After, scaled
	Clock  func() time.Duration
	Go     func(func())
	Logger *slog.Logger
}

// Raiser raises the format of the group.
type Raiser struct {
	Config
	to      uint64        // the format that all members read, while it is later than that of the group
	since   time.Duration // when they began to
	raising atomic.Bool
}

// New returns a Raiser.
func New(c Config) *Raiser { return &Raiser{Config: c} }

// Run raises the format if that is due. The poller calls it after each poll.
func (r *Raiser) Run() {
	s := &r.Access().Settings
	to, now := r.common(), r.Clock()
	switch {
	case !r.Leads() || s.Sworn || s.FormatHold || to <= s.Format():
		r.to = 0
	case r.to != to:
		r.to, r.since = to, now
		r.Logger.Info("all members can read a later format of the group; it is raised soon, unless it is held",
			"format", s.Format(), "next", to, "in", r.After)
	case now-r.since >= r.After && r.raising.CompareAndSwap(false, true):
		r.Go(func() {
			defer r.raising.Store(false)
			r.raise(to)
		})
	}
}

func (r *Raiser) raise(to uint64) {
	by := peer.MemberID(r.Self)
	change := access.Change{By: by, Setting: &access.Setting{
		Name: access.SettingFormat, Value: strconv.FormatUint(to, 10),
	}}
	ctx, cancel := context.WithTimeout(r.Context, r.After)
	defer cancel()
	if err := r.Change(ctx, change); err != nil && r.Context.Err() == nil {
		r.Logger.Warn("the format of the group was not raised; trying again", "next", to, "err", err)
	}
}

// common returns the latest format that all members read; 0 if one does not answer.
func (r *Raiser) common() uint64 {
	to := r.Newest
	for _, s := range r.Servers() {
		if s.ID == r.Self {
			continue
		}
		last, fresh := r.Last(s.ID)
		if !fresh {
			return 0
		}
		_, newest := last.Formats()
		to = min(to, newest)
	}
	return to
}

// Check returns a problem unless all members can read a format, and say so now.
func (r *Raiser) Check(format uint64) *score.Problem {
	var reasons []string
	for _, s := range r.Servers() {
		last, fresh := r.Last(s.ID)
		oldest, newest := last.Formats()
		if s.ID == r.Self {
			fresh, oldest, newest = true, access.OldestFormat, r.Newest
		}
		switch id := peer.MemberID(s.ID); {
		case !fresh:
			reasons = append(reasons, id+" does not answer")
		case format < oldest || format > newest:
			reasons = append(reasons, fmt.Sprintf("%s reads formats %d to %d", id, oldest, newest))
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	return score.Problemf(score.UnsupportedFormat,
		"not all members can read format %d: %s; update them, or remove them from "+
			"the group", format, strings.Join(reasons, ", ")).At("setting.value")
}

// CheckJoiner returns a problem if a frontend that joins cannot read the format of the group,
// or cannot speak to its master.
func CheckJoiner(joiner status.Status, format uint64) *score.Problem {
	if _, err := peer.CommonProtocol(joiner.Protocols()); err != nil {
		return score.Problemf(score.UnsupportedFormat, "%q cannot join: %v", peer.MemberID(joiner.Member), err)
	}
	oldest, newest := joiner.Formats()
	if oldest <= format && format <= newest {
		return nil
	}
	return score.Problemf(score.UnsupportedFormat, "%q reads formats %d to %d, and the group has format %d; "+
		"start it with the version of laurel that the other frontends run",
		peer.MemberID(joiner.Member), oldest, newest, format)
}
