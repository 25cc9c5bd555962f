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

	"laurel/fsm"
)

// record is what the bards and readers of a world have seen. The check is direct: the store has one order, that of the revisions, so once anybody
// was shown or told of a revision, each read that begins later must show the last event on its contest up to there.
type history struct {
	w       *world
	readers sync.WaitGroup
	bards   sync.WaitGroup
	stop    atomic.Bool // bards bring to an end what they have begun

	known atomic.Uint64 // the highest revision that anybody was told of

	mu      sync.Mutex
	moments []moment
	acked   []ack
	reads   []observedRead
	counts  map[string]int
}

// moment is when something became known.
type moment struct {
	at       time.Duration
	revision uint64
}

type ack struct {
	id       string
	revision uint64
}

// observedRead is an answered read. It must show all on its contest up to floor.
type observedRead struct {
	at      time.Duration
	by, how string
	contest int // -1 for all
	floor   uint64
	shown   uint64
}

const worldContests = 4

// answeredStale is how a frontend answers from its state machine. That may run ahead of what others may see, so it tells nobody anything.
const answeredStale = "stale"

func newHistory(w *world) *history { return &history{w: w, counts: map[string]int{}} }

func contestID(i int) string { return fmt.Sprintf("OG50BC/world-%d", i) }

func (r *history) now() time.Duration { return time.Since(r.w.began) }

// tell notes that somebody knows of a revision now.
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

// knownAt is what was known at a moment.
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

// end brings the world to rest and looks at what was seen.
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

// finalState is the timelines in the end: the contest of each revision, and the revisions of each event.
type finalState struct {
	contests  map[uint64]int
	revisions [worldContests][]uint64
	ids       map[string][]uint64
	revision  uint64
}

// waitSettled waits until all members have the same, and gives it.
func (r *history) waitSettled() *finalState {
	why := ""
	for range 400 {
		time.Sleep(50 * time.Millisecond)
		m := r.w.master()
		if m == nil {
			why = "there is no master"
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
					why = fmt.Sprintf("%s has revision %d of %d", other.node.id, other.machine.Revision(), first.revision)
				} else if there := finalStateOf(other); !slices.Equal(there.revisions[0], first.revisions[0]) || there.revision == first.revision && len(there.contests) != len(first.contests) {
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
	r.w.problemf("the world does not come to rest: %s", why)
	return nil
}

func finalStateOf(m *worldMember) *finalState {
	all := &finalState{contests: map[uint64]int{}, ids: map[string][]uint64{}}
	m.machine.View(func(v *fsm.View) error {
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

// checkAcks looks for each acked event in the timelines, once and where its bard was told. r.mu must be held.
func (r *history) checkAcks(all *finalState) {
	for _, a := range r.acked {
		if got := all.ids[a.id]; len(got) != 1 || got[0] != a.revision {
			r.w.problemf("%s was acked as revision %d and stands at %v", a.id, a.revision, got)
		}
	}
}

// last is the last revision up to floor that changed a contest, or any for -1.
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

// checkReads looks at each answer. What it shows must be there in the end, too. r.mu must be held.
func (r *history) checkReads(all *finalState) {
	found := 0
	for _, s := range r.reads {
		want := all.last(s.contest, s.floor)
		_, real := all.contests[s.shown]
		if s.shown >= want && (real || s.shown == 0) {
			continue
		}
		if found++; found <= 5 {
			r.w.problems.addf("%8.4f STALE: %s (%s) showed revision %d of contest %d; %d was known, of which %d", s.at.Seconds(), s.by, s.how, s.shown, s.contest, s.floor, want)
		}
	}
}

func (w *world) failure() string {
	if w.problems.tail(1) == "" {
		return ""
	}
	return w.problems.tail(10)
}

// stale tells whether an answer was stale, and not only something else amiss.
func (w *world) stale() bool { return strings.Contains(w.failure(), "STALE") }
