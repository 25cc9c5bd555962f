package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	// tryLimit is how long one try may take where the member that leads may be lost, and requests with it. Both etcd and Laurel take a request twice.
	tryLimit = 200 * time.Millisecond
	// tryPause is between two tries at one member.
	tryPause = 5 * time.Millisecond
	// patience is how long a hunter waits for the member that it likes before it asks all.
	patience = 20 * time.Millisecond
)

// hunter posts events, one at a time, at the member that acked last, and at all of them where that one fails or takes long.
type hunter struct {
	members []member
	limit   time.Duration // of one try
	liked   int
}

type hunted struct {
	revision uint64
	member   int
	err      error
}

// hunt returns when one member has acked the event, or one has refused it for good.
func (h *hunter) hunt(ctx context.Context, event []byte) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan hunted, len(h.members))
	failed := make(chan struct{}, 1)
	go h.try(ctx, h.liked, event, answers, failed)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for asked := false; ; {
		select {
		case a := <-answers:
			if a.err == nil {
				h.liked = a.member
			}
			return a.revision, a.err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-failed:
		case <-timer.C:
		}
		if !asked {
			asked = true
			for i := range h.members {
				if i != h.liked {
					go h.try(ctx, i, event, answers, failed)
				}
			}
		}
	}
}

func (h *hunter) try(ctx context.Context, i int, event []byte, answers chan<- hunted, failed chan<- struct{}) {
	for ctx.Err() == nil {
		once, cancel := context.WithTimeout(ctx, h.limit)
		revision, err := h.members[i].post(once, event)
		cancel()
		if err == nil || errors.Is(err, errRefused) {
			answers <- hunted{revision, i, err}
			return
		}
		select {
		case failed <- struct{}{}:
		default:
		}
		select {
		case <-ctx.Done():
		case <-time.After(tryPause):
		}
	}
}

// moment is one request, from when it was sent to when it was answered.
type moment struct {
	sent, done time.Time
	ok         bool
	err        error // why it is not ok
}

// before is the requests that were answered before t.
func before(t time.Time, list []moment) []moment {
	return slices.DeleteFunc(slices.Clone(list), func(m moment) bool { return !m.done.Before(t) })
}

// nextAfter is how long after t the first of the requests that were sent after t was answered well.
func nextAfter(t time.Time, list []moment) (time.Duration, bool) {
	for _, m := range list {
		if m.ok && m.sent.After(t) {
			return m.done.Sub(t), true
		}
	}
	return 0, false
}

// longestGap is the longest time without a good answer of which some part lies between from and until.
func longestGap(from, until time.Time, list []moment) time.Duration {
	last, longest := from, time.Duration(0)
	for _, m := range list {
		if !m.ok {
			continue
		}
		if m.done.After(from) {
			if last.After(until) {
				return longest
			}
			longest = max(longest, m.done.Sub(last))
		}
		last = m.done
	}
	if last.Before(until) {
		longest = max(longest, until.Sub(last))
	}
	return longest
}

// outage is how long after t good answers came without a break again: after the last request that failed, or the last gap that was longer than still. It is 0
// where they have never ceased, and there is none where they have not come back.
func outage(t time.Time, still time.Duration, list []moment) (time.Duration, bool) {
	back, out, last := time.Duration(0), false, t
	for _, m := range slices.SortedFunc(slices.Values(list), func(a, b moment) int { return a.done.Compare(b.done) }) {
		if m.done.Before(t) {
			continue
		}
		if !m.ok {
			out = true
			continue
		}
		if out || m.done.Sub(last) > still {
			back, out = m.done.Sub(t), false
		}
		last = m.done
	}
	return back, !out && last.After(t)
}
