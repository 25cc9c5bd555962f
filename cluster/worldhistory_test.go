package cluster

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"laurel/fsm/view"
)

// history is what the bards and readers of a world have seen. The check for
// linearizability is direct, because the store has one order, that of the revisions: once
// anyone knows of a revision, each read that begins later must show the last event of its
// contest up to that revision.
type history struct {
	w       *world
	readers sync.WaitGroup
	bards   sync.WaitGroup
	stop    atomic.Bool // bards end after the post under way

	known atomic.Uint64 // the highest revision that anyone knows

	mu      sync.Mutex
	moments []moment
	acked   []ack
	reads   []observedRead
	counts  map[string]int
}

// moment is when a revision became known.
type moment struct {
	at       time.Duration
	revision uint64
}

type ack struct {
	id       string
	revision uint64
}

// observedRead is an answered read. It must show the events of its contest up to floor.
type observedRead struct {
	at      time.Duration
	by, how string
	contest int // -1 for all
	floor   uint64
	shown   uint64
}

const worldContests = 4

// answeredStale marks a read that a frontend answered from its state machine. That may be
// ahead of what readers may see, so such a read makes nothing known.
const answeredStale = "stale"

func newHistory(w *world) *history { return &history{w: w, counts: map[string]int{}} }

func contestID(i int) string { return fmt.Sprintf("OG50BC/world-%d", i) }

func (r *history) now() time.Duration { return time.Since(r.w.began) }

// learn notes that someone knows of a revision.
func (r *history) learn(revision uint64) {
	if revision <= r.known.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if revision > r.known.Load() {
		r.known.Store(revision)
		r.moments = append(r.moments, moment{r.now(), revision})
	}
}

// knownAt returns the highest revision that was known at a time.
func (r *history) knownAt(at time.Duration) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := sort.Search(len(r.moments), func(i int) bool { return r.moments[i].at > at })
	if i == 0 {
		return 0
	}
	return r.moments[i-1].revision
}

func (r *history) addRead(s observedRead) {
	if s.how != answeredStale {
		r.learn(s.shown)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads = append(r.reads, s)
	r.counts[s.how]++
}

func (r *history) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
}

// end stops the bards and checks what was seen.
func (r *history) end() {
	r.stop.Store(true)
	r.bards.Wait()
	if r.w.problems.tail(1) != "" {
		return
	}
	finalState := r.waitSettled()
	if finalState == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checkAcks(finalState)
	r.checkReads(finalState)
}

// finalState is the state at the end: the contest of each revision, the revisions of each
// contest and of each event.
type finalState struct {
	contests  map[uint64]int
	revisions [worldContests][]uint64
	ids       map[string][]uint64
	revision  uint64
}

// waitSettled waits until all members have the same state, and returns it.
func (r *history) waitSettled() *finalState {
	why := ""
	for range 400 {
		time.Sleep(50 * time.Millisecond)
		m := r.w.master()
		if m == nil {
			why = "no member is the master"
			continue
		}
		if err := m.Ready(context.Background()); err != nil {
			why = "the master is not ready: " + err.Error()
			continue
		}
		why = ""
		first := finalStateOf(m)
		var same []*worldMember
		for _, s := range m.servers() {
			for _, other := range r.w.up() {
				if other.self != s.ID {
					continue
				}
				same = append(same, other)
				if other.machine.Revision() != first.revision {
					why = fmt.Sprintf("%s has revision %d of %d",
						other.node.id, other.machine.Revision(), first.revision)
				} else if !finalStateOf(other).sameTimelines(first) {
					why = fmt.Sprintf("%s has another timeline", other.node.id)
				}
			}
		}
		if why == "" {
			why = r.w.sameStates(same)
		}
		if why == "" {
			return first
		}
	}
	r.w.problemf("the members do not agree: %s", why)
	return nil
}

func finalStateOf(m *worldMember) *finalState {
	all := &finalState{contests: map[uint64]int{}, ids: map[string][]uint64{}}
	m.machine.View(func(v *view.View) error {
		all.revision = v.Revision()
		for i := range worldContests {
			list, _, err := v.Timeline(contestID(i), 0, 1<<30)
			if err != nil {
				return err
			}
			for _, e := range list {
				all.contests[e.Revision] = i
				all.revisions[i] = append(all.revisions[i], e.Revision)
				all.ids[e.ID] = append(all.ids[e.ID], e.Revision)
			}
		}
		return nil
	})
	return all
}

// sameTimelines reports whether two states have the same timelines, as far as their
// length and the first contest show.
func (all *finalState) sameTimelines(other *finalState) bool {
	return slices.Equal(all.revisions[0], other.revisions[0]) && len(all.contests) == len(other.contests)
}

// checkAcks checks that each acked event is in the timelines once, at the acked revision.
// r.mu must be held.
func (r *history) checkAcks(all *finalState) {
	for _, a := range r.acked {
		if got := all.ids[a.id]; len(got) != 1 || got[0] != a.revision {
			r.w.problemf("%s was acked as revision %d and is at %v", a.id, a.revision, got)
		}
	}
}

// last returns the last revision up to floor that changed a contest; -1 stands for any
// contest.
func (all *finalState) last(contest int, floor uint64) uint64 {
	if contest < 0 {
		return min(floor, all.revision)
	}
	list := all.revisions[contest]
	i := sort.Search(len(list), func(i int) bool { return list[i] > floor })
	if i == 0 {
		return 0
	}
	return list[i-1]
}

// checkReads checks each read. The revision that it showed must exist at the end. r.mu
// must be held.
func (r *history) checkReads(all *finalState) {
	found := 0
	for _, s := range r.reads {
		want := all.last(s.contest, s.floor)
		_, real := all.contests[s.shown]
		if s.shown >= want && (real || s.shown == 0) {
			continue
		}
		if found++; found <= 5 {
			r.w.problems.addf("%8.4f STALE: %s (%s) showed revision %d of contest %d; want %d, as %d was known",
				s.at.Seconds(), s.by, s.how, s.shown, s.contest, want, s.floor)
		}
	}
}

// failure returns the problems of the world, "" if there are none.
func (w *world) failure() string {
	if w.problems.tail(1) == "" {
		return ""
	}
	return w.problems.tail(10)
}

// stale reports whether a read was stale, apart from other problems.
func (w *world) stale() bool { return strings.Contains(w.failure(), "STALE") }
