package pull

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// Tick is how often Due is meant to be called. It is also the shortest
// time between two checks of one record, because a tick is one batched request
// and a record is in it at most once: the ceiling of 20 checks a second.
const Tick = 50 * time.Millisecond

// Budget is the default number of checks a second that one frontend asks of
// the master: ten a tick. It holds MaxInterval for up to 1,425 records.
const Budget = 200.0

// MaxInterval is the longest time that a held record goes unchecked, however
// seldom it is read, as long as intervalShare of the budget is enough for that.
const MaxInterval = 10 * time.Second

const (
	// plannedInterval is the interval planned for the coldest records. It is shorter
	// than MaxInterval because a due record may queue behind others for some ticks.
	plannedInterval = MaxInterval - MaxInterval/20

	// intervalShare bounds the part of the budget that the floor may take. With
	// more records than it suffices for, the floor gives way, not the hot final.
	intervalShare = 0.75

	// refreshInterval is how often reads are counted and rates computed anew: four
	// times in the second within which a hot record must be noticed.
	refreshInterval = 5 * Tick

	// readsDecay is the time constant in which reads are forgotten, so that a
	// pause in a match does not cost the final its rate. A rise needs no such
	// patience: see surprise.
	readsDecay = 5 * time.Second

	// surprise is by how many standard deviations of a Poisson count reads
	// must exceed what was expected to be believed at once instead of averaged.
	surprise = 3.0

	// changesDecay is the time constant in which what checks found is
	// forgotten. It must be longer than MaxInterval, or a cold record would forget
	// each check before the next one.
	changesDecay = 20 * time.Second

	// priorChanges (changes a second) is what is believed of a record about
	// which nothing is known, with the weight of priorWeight seen changes. By
	// trial from 0.1 to 0.4: this makes a final hot soonest, and the share of
	// stale reads hardly differs. It never fades, so that a record never seen to
	// change is still worth checking when it is read.
	priorChanges = 0.4
	priorWeight  = 0.5
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
// Item.Read.
type Schedule struct {
	budget float64 // checks a second
	items  []*Item
	byKey  map[string]*Item
	weight func(*Item) float64

	running   bool
	ticked    time.Duration // last call of Due
	refreshed time.Duration // last computation of the rates
	allowance float64       // checks that may be handed out now
	added     uint64
}

// Item is one held record of a Schedule.
type Item struct {
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
// average; a budget that is not a positive number means Budget.
func NewSchedule(budget float64) *Schedule {
	if !(budget > 0) || math.IsInf(budget, 1) {
		budget = Budget
	}
	return &Schedule{budget: budget, byKey: make(map[string]*Item), weight: squareRootWeight}
}

// Read counts one read of the record. It takes no lock, allocates nothing and
// may be called by any goroutine at any time, even after the record was removed.
func (it *Item) Read() { it.reads.Add(1) }

// Reads is how often the record has been read.
func (it *Item) Reads() uint64 { return it.reads.Load() }

// Add begins to check the record key, which was loaded at now, and returns its
// item for the readers to count on. A key already held keeps its item.
func (s *Schedule) Add(key string, now time.Duration) *Item {
	if it := s.byKey[key]; it != nil {
		return it
	}
	it := &Item{key: key, index: len(s.items), countedAt: now, checked: now}
	s.items = append(s.items, it)
	s.byKey[key] = it
	it.rate = s.minRate()
	// Records loaded together would come due together: steps of the golden ratio
	// spread any number of them evenly over the interval.
	s.added++
	_, phase := math.Modf(float64(s.added) * (math.Phi - 1))
	it.due = now + seconds(phase/it.rate)
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
// then by key. Call it once every Tick: over any span it hands out no more
// than the budget and one burst of about two ticks. A key handed out waits for
// its next turn whether or not its answer comes, so a lost one is asked again.
func (s *Schedule) Due(now time.Duration) []string {
	s.advance(now)
	room := int(s.allowance)
	if room == 0 {
		return nil
	}
	var due []*Item
	for _, it := range s.items {
		if it.due <= now {
			due = append(due, it)
		}
	}
	slices.SortFunc(due, func(a, b *Item) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.key, b.key))
	})
	due = due[:min(room, len(due))]
	s.allowance -= float64(len(due))
	keys := make([]string, len(due))
	for i, it := range due {
		keys[i] = it.key
		// Lateness of up to a tick is not lost, or every rate would be rounded
		// down to whole ticks; more would be made good by a burst.
		it.due = max(it.due, now-Tick) + seconds(1/it.rate)
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
	keep := math.Exp(-span / changesDecay.Seconds())
	it.changes = it.changes*keep + seen
	it.watched = it.watched*keep + span
}

// changeRate returns the estimated changes a second; never 0.
func (it *Item) changeRate() float64 {
	return (it.changes + priorWeight) / (it.watched + priorWeight/priorChanges)
}

// advance grants the budget of the time since the last tick.
func (s *Schedule) advance(now time.Duration) {
	perTick := s.budget * Tick.Seconds()
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
	if lost := gap - 2*Tick; lost > 0 {
		for _, it := range s.items {
			it.due += lost
		}
	}
	if now-s.refreshed >= refreshInterval {
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
	floor, ceiling := s.minRate(), 1/Tick.Seconds()
	scale := rateScale(weights, floor, ceiling, s.budget)
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

// minRate returns the checks a second that every held record gets.
func (s *Schedule) minRate() float64 {
	return min(1/plannedInterval.Seconds(), intervalShare*s.budget/float64(len(s.items)), 1/Tick.Seconds())
}

// countReads takes the reads since the last count into the read rate: at once
// if they are surprisingly many, smoothed otherwise.
func (it *Item) countReads(now time.Duration) {
	total := it.reads.Load()
	count := float64(total - it.counted)
	// A record added just now has no window to speak of: a full one is assumed.
	window := max(now-it.countedAt, refreshInterval).Seconds()
	it.counted, it.countedAt = total, now
	expected := it.readRate * window
	if count > expected+surprise*math.Sqrt(expected+1) {
		it.readRate = count / window
		// What was seen of a match before it began says little about the match.
		it.changes, it.watched = 0, 0
		return
	}
	it.readRate += (count/window - it.readRate) * -math.Expm1(-window/readsDecay.Seconds())
}

// squareRootWeight is the square-root rule. Less than a read an hour counts as
// none, so that estimates that fade for ever do not share the budget out.
func squareRootWeight(it *Item) float64 {
	if it.readRate < 1.0/3600 {
		return 0
	}
	return math.Sqrt(it.readRate * it.changeRate())
}

// rateScale returns the factor by which weights become rates that add up to
// budget once each is held between floor and ceiling: what the clamps take or
// leave is shared by the others in proportion. Without such a factor, because
// all are clamped, it is the nearest.
func rateScale(weights []float64, floor, ceiling, budget float64) float64 {
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

// seconds converts seconds to a duration of at most a day, so that no
// budget, however small, overflows it.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, 86400) * float64(time.Second))
}
