package cache

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// PollTick is how often Due is meant to be called. It is also the shortest
// time between two checks of one record, because a tick is one batched request
// and a record is in it at most once: the ceiling of 20 checks a second.
const PollTick = 50 * time.Millisecond

// PollBudget is the default number of checks a second that one frontend asks of
// the master: ten a tick. It holds PollFloor for up to 1,425 records.
const PollBudget = 200.0

// PollFloor is the longest time that a held record goes unchecked, however
// seldom it is read, as long as pollFloorShare of the budget is enough for that.
const PollFloor = 10 * time.Second

const (
	// pollFloorAim is the interval planned for the coldest records. It is shorter
	// than PollFloor because a due record may queue behind others for some ticks.
	pollFloorAim = PollFloor - PollFloor/20

	// pollFloorShare bounds the part of the budget that the floor may take. With
	// more records than it suffices for, the floor gives way, not the hot final.
	pollFloorShare = 0.75

	// pollRefresh is how often reads are counted and rates computed anew: four
	// times in the second within which a hot record must be noticed.
	pollRefresh = 5 * PollTick

	// pollReadsFall is the time constant in which reads are forgotten, so that a
	// pause in a match does not cost the final its rate. A rise needs no such
	// patience: see pollSurprise.
	pollReadsFall = 5 * time.Second

	// pollSurprise is by how many standard deviations of a Poisson count reads
	// must exceed what was expected to be believed at once instead of averaged.
	pollSurprise = 3.0

	// pollChangesFall is the time constant in which what checks found is
	// forgotten. It must be longer than PollFloor, or a cold record would forget
	// each check before the next one.
	pollChangesFall = 20 * time.Second

	// pollPriorChanges (changes a second) is what is believed of a record about
	// which nothing is known, with the weight of pollPriorWeight seen changes. By
	// trial from 0.1 to 0.4: this makes a final hot soonest, and the share of
	// stale reads hardly differs. It never fades, so that a record never seen to
	// change is still worth checking when it is read.
	pollPriorChanges = 0.4
	pollPriorWeight  = 0.5
)

// Schedule says which records a frontend checks with the master in which tick
// of pull mode. The rate of a record is proportional to the square root of (its
// reads a second x its changes a second): a read comes on average half an
// interval after a check, so about reads x changes / (2 x rate) reads a second
// are stale, and their sum under a budget is least for the square root (after
// Cho and Garcia-Molina, Effective page refresh policies for web crawlers, ACM
// TODS 28(4), 2003). This holds for records checked more often than they change;
// the exact optimum would give up those that change faster than that, which no
// reader of a final would thank us for.
//
// A time is a reading of one monotonic clock, from any start. Given the same
// calls, the answers are the same. Not safe for concurrent use, except for
// PollItem.Read.
type Schedule struct {
	budget float64 // checks a second
	items  []*PollItem
	byKey  map[string]*PollItem
	weight func(*PollItem) float64

	running   bool
	ticked    time.Duration // last call of Due
	refreshed time.Duration // last computation of the rates
	allowance float64       // checks that may be handed out now
	added     uint64
}

// PollItem is one held record of a Schedule.
type PollItem struct {
	key   string
	index int // in Schedule.items
	reads atomic.Uint64

	counted   uint64        // reads taken into readRate so far
	countedAt time.Duration // when they were
	readRate  float64       // reads a second

	checked time.Duration // last answer of the master
	changes float64       // changes that checks stand for, fading
	watched float64       // seconds that checks covered, fading

	rate float64 // checks a second
	due  time.Duration
}

// NewSchedule returns an empty schedule of at most budget checks a second, on
// average; a budget that is not a positive number means PollBudget.
func NewSchedule(budget float64) *Schedule {
	if !(budget > 0) || math.IsInf(budget, 1) {
		budget = PollBudget
	}
	return &Schedule{budget: budget, byKey: make(map[string]*PollItem), weight: pollRootWeight}
}

// Read counts one read of the record. It takes no lock, allocates nothing and
// may be called by any goroutine at any time, even after the record was removed.
func (it *PollItem) Read() { it.reads.Add(1) }

// Reads is how often the record has been read.
func (it *PollItem) Reads() uint64 { return it.reads.Load() }

// Add begins to check the record key, which was loaded at now, and returns its
// item for the readers to count on. A key already held keeps its item.
func (s *Schedule) Add(key string, now time.Duration) *PollItem {
	if it := s.byKey[key]; it != nil {
		return it
	}
	it := &PollItem{key: key, index: len(s.items), countedAt: now, checked: now}
	s.items = append(s.items, it)
	s.byKey[key] = it
	it.rate = s.floorRate()
	// Records loaded together would come due together: steps of the golden ratio
	// spread any number of them evenly over the interval.
	s.added++
	_, phase := math.Modf(float64(s.added) * (math.Phi - 1))
	it.due = now + pollSeconds(phase/it.rate)
	return it
}

// Remove stops checking key and forgets all about it.
func (s *Schedule) Remove(key string) {
	it := s.byKey[key]
	if it == nil {
		return
	}
	delete(s.byKey, key)
	last := len(s.items) - 1
	s.items[it.index] = s.items[last]
	s.items[it.index].index = it.index
	s.items[last] = nil
	s.items = s.items[:last]
}

// Due returns the keys to check in the tick at now, the longest overdue first,
// then by key. Call it once every PollTick: over any span it hands out no more
// than the budget and one burst of about two ticks. A key handed out waits for
// its next turn whether or not its answer comes, so a lost one is asked again.
func (s *Schedule) Due(now time.Duration) []string {
	s.advance(now)
	room := int(s.allowance)
	if room == 0 {
		return nil
	}
	var due []*PollItem
	for _, it := range s.items {
		if it.due <= now {
			due = append(due, it)
		}
	}
	slices.SortFunc(due, func(a, b *PollItem) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.key, b.key))
	})
	due = due[:min(room, len(due))]
	s.allowance -= float64(len(due))
	keys := make([]string, len(due))
	for i, it := range due {
		keys[i] = it.key
		// Lateness of up to a tick is not lost, or every rate would be rounded
		// down to whole ticks; more would be made good by a burst.
		it.due = max(it.due, now-PollTick) + pollSeconds(1/it.rate)
	}
	return keys
}

// Checked takes in the master's answer of time now: whether key changed since
// the answer before it. An answer about a key no longer held is ignored.
func (s *Schedule) Checked(key string, changed bool, now time.Duration) {
	it := s.byKey[key]
	if it == nil || now <= it.checked {
		return
	}
	span := (now - it.checked).Seconds()
	it.checked = now
	// A check sees that a record changed, not how often. Counting the expected
	// number of changes given that there was one, by what is known so far, has as
	// its fixed point the maximum likelihood estimate for irregular checks of
	// Cho and Garcia-Molina, Estimating frequency of change, ACM TOIT 3(3), 2003.
	seen := 0.0
	if changed {
		expected := it.changeRate() * span
		seen = expected / -math.Expm1(-expected)
	}
	keep := math.Exp(-span / pollChangesFall.Seconds())
	it.changes = it.changes*keep + seen
	it.watched = it.watched*keep + span
}

// changeRate returns the estimated changes a second; never 0.
func (it *PollItem) changeRate() float64 {
	return (it.changes + pollPriorWeight) / (it.watched + pollPriorWeight/pollPriorChanges)
}

// advance grants the budget of the time since the last tick.
func (s *Schedule) advance(now time.Duration) {
	perTick := s.budget * PollTick.Seconds()
	if !s.running {
		s.running, s.ticked, s.allowance = true, now, perTick
		s.refresh(now)
		return
	}
	gap := max(0, now-s.ticked)
	s.ticked += gap
	s.allowance = min(s.allowance+s.budget*gap.Seconds(), perTick+max(1, perTick))
	// After a pause, time for which no budget was granted makes nobody overdue:
	// else hot records would queue behind every cold one until all are caught up.
	if lost := gap - 2*PollTick; lost > 0 {
		for _, it := range s.items {
			it.due += lost
		}
	}
	if now-s.refreshed >= pollRefresh {
		s.refresh(now)
	}
}

// refresh counts the reads and shares the budget out anew.
func (s *Schedule) refresh(now time.Duration) {
	s.refreshed = now
	weights := make([]float64, len(s.items))
	for i, it := range s.items {
		it.countReads(now)
		weights[i] = s.weight(it)
	}
	floor, ceiling := s.floorRate(), 1/PollTick.Seconds()
	scale := pollScale(weights, floor, ceiling, s.budget)
	for i, it := range s.items {
		rate := min(max(scale*weights[i], floor), ceiling)
		// The part of the interval still to wait is kept, not its length: a record
		// that gets hot must not sit out the ten seconds it was given when cold.
		if it.due > now {
			it.due = now + time.Duration(float64(it.due-now)*it.rate/rate)
		}
		it.rate = rate
	}
}

// floorRate returns the checks a second that every held record gets.
func (s *Schedule) floorRate() float64 {
	return min(1/pollFloorAim.Seconds(), pollFloorShare*s.budget/float64(len(s.items)), 1/PollTick.Seconds())
}

// countReads takes the reads since the last count into the read rate: at once
// if they are surprisingly many, smoothed otherwise.
func (it *PollItem) countReads(now time.Duration) {
	total := it.reads.Load()
	count := float64(total - it.counted)
	// A record added just now has no window to speak of: a full one is assumed.
	window := max(now-it.countedAt, pollRefresh).Seconds()
	it.counted, it.countedAt = total, now
	expected := it.readRate * window
	if count > expected+pollSurprise*math.Sqrt(expected+1) {
		it.readRate = count / window
		// What was seen of a match before it began says little about the match.
		it.changes, it.watched = 0, 0
		return
	}
	it.readRate += (count/window - it.readRate) * -math.Expm1(-window/pollReadsFall.Seconds())
}

// pollRootWeight is the square-root rule. Less than a read an hour counts as
// none, so that estimates that fade for ever do not share the budget out.
func pollRootWeight(it *PollItem) float64 {
	if it.readRate < 1.0/3600 {
		return 0
	}
	return math.Sqrt(it.readRate * it.changeRate())
}

// pollScale returns the factor by which weights become rates that add up to
// budget once each is held between floor and ceiling: what the clamps take or
// leave is shared by the others in proportion. Without such a factor, because
// all are clamped, it is the nearest.
func pollScale(weights []float64, floor, ceiling, budget float64) float64 {
	least, most := math.Inf(1), 0.0
	for _, w := range weights {
		if w > 0 {
			least, most = min(least, w), max(most, w)
		}
	}
	if most == 0 {
		return 0
	}
	// The sum of clamped rates grows with the factor, so halving finds it; by
	// ratio, as weights span many powers of ten.
	low, high := floor/most, ceiling/least
	for high > low*(1+1e-6) {
		middle, total := math.Sqrt(low*high), 0.0
		for _, w := range weights {
			total += min(max(middle*w, floor), ceiling)
		}
		if total > budget {
			high = middle
		} else {
			low = middle
		}
	}
	return low
}

// pollSeconds converts seconds to a duration of at most a day, so that no
// budget, however small, overflows it.
func pollSeconds(s float64) time.Duration {
	return time.Duration(min(s, 86400) * float64(time.Second))
}
