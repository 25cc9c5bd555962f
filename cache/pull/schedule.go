package pull

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// Tick is the time between two calls of Due, and the shortest time between two checks of
// one record, because a tick sends one batched request.
const Tick = 50 * time.Millisecond

// Budget is the default number of checks a second that one frontend asks of the master:
// ten per tick. It is enough to keep MaxInterval for up to 1,425 records.
const Budget = 200.0

// MaxInterval is the longest time that a record goes unchecked, however rarely it is
// read, as long as intervalShare of the budget is enough for that.
const MaxInterval = 10 * time.Second

const (
	// plannedInterval is the interval planned for the coldest records. It is shorter than
	// MaxInterval because a due record may queue behind others for some ticks.
	plannedInterval = MaxInterval - MaxInterval/20

	// intervalShare bounds the part of the budget that the longest interval may take.
	// With more records than that is enough for, cold records are checked less often than
	// every MaxInterval, and hot ones keep their rate.
	intervalShare = 0.75

	// refreshInterval is the time between two computations of the rates. A hot record
	// must be noticed within a second.
	refreshInterval = 5 * Tick

	// readsDecay is the time constant with which reads are forgotten. A record keeps its
	// rate during a pause of its contest.
	readsDecay = 5 * time.Second

	// surprise is by how many standard deviations of a Poisson count reads must exceed
	// the expected ones to be taken at once instead of averaged.
	surprise = 3.0

	// changesDecay is the time constant with which the results of checks are forgotten.
	// It is longer than MaxInterval, or a cold record would forget each check too early.
	changesDecay = 20 * time.Second

	// priorChanges (changes a second) is the estimate for a record about which nothing is
	// known, with the weight of priorWeight observed changes. Of the values tried, 0.1 to
	// 0.4, this one notices a hot record soonest, and the share of stale reads hardly
	// differs. It never fades, so a record that was never seen to change is still checked
	// when it is read.
	priorChanges = 0.4
	priorWeight  = 0.5
)

// Schedule decides which records a frontend checks with the master in each tick of pull
// mode. The check rate of a record is proportional to the square root of (its reads a
// second x its changes a second): a read comes on average half an interval after a check,
// so about reads x changes / (2 x rate) reads a second are stale, and for a given budget
// their sum is least with the square root (after Cho and Garcia-Molina, Effective page
// refresh policies for web crawlers, ACM TODS 28(4), 2003). This holds for records that
// are checked more often than they change. The exact optimum would give up the records
// that change faster, which are often those with the most readers.
//
// A time is a reading of one monotonic clock, from any start. Equal calls give equal
// results. A Schedule is not safe for concurrent use, except for Item.Read.
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

// Item is one record of a Schedule.
type Item struct {
	key   string
	index int // in Schedule.items
	reads atomic.Uint64

	counted   uint64        // reads that are in readRate
	countedAt time.Duration // when they were counted
	readRate  float64       // reads a second

	checked time.Duration // last answer of the master
	changes float64       // estimated changes that checks found, decaying
	watched float64       // seconds that checks covered, decaying

	rate float64 // checks a second
	due  time.Duration
}

// NewSchedule returns an empty schedule of at most budget checks a second, on average.
func NewSchedule(budget float64) *Schedule {
	return &Schedule{budget: budget, byKey: make(map[string]*Item), weight: squareRootWeight}
}

// Read counts one read of the record. It takes no lock and allocates nothing. Any
// goroutine may call it at any time, even after the record was removed.
func (it *Item) Read() { it.reads.Add(1) }

// Add begins to check the record key, which was loaded at now, and returns its item, on
// which its readers count. A key that is held already keeps its item.
func (s *Schedule) Add(key string, now time.Duration) *Item {
	if it := s.byKey[key]; it != nil {
		return it
	}
	if len(s.items) == 0 {
		s.running = false // while there are no records no time is lost
	}
	it := &Item{key: key, index: len(s.items), countedAt: now, checked: now}
	s.items = append(s.items, it)
	s.byKey[key] = it
	it.rate = s.minRate()
	// Records that are loaded together would come due together. Steps of the golden ratio
	// spread any number of them evenly over the interval.
	s.added++
	_, phase := math.Modf(float64(s.added) * (math.Phi - 1))
	it.due = now + seconds(phase/it.rate)
	return it
}

// Remove stops checking key and forgets it.
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

// Due returns the keys to check in the tick at now, the longest overdue first, then by
// key. It must be called every Tick while there are records: over any span it returns no
// more than the budget and a burst of about two ticks. A key becomes due again whether or
// not its answer comes.
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
		// A delay of up to a tick is made up for, or every rate would be rounded down to
		// whole ticks. To make up for more would cause a burst.
		it.due = max(it.due, now-Tick) + seconds(1/it.rate)
	}
	return keys
}

// Checked notes the master's answer at now: whether key has changed since the answer
// before. It ignores a key that is not held any more.
func (s *Schedule) Checked(key string, changed bool, now time.Duration) {
	it := s.byKey[key]
	if it == nil || now <= it.checked {
		return
	}
	span := (now - it.checked).Seconds()
	it.checked = now
	// A check sees that a record changed, but not how often. So the expected number of
	// changes is counted, given that there was one and what is known so far. The fixed
	// point of that is the maximum likelihood estimate for irregular checks of Cho and
	// Garcia-Molina, Estimating frequency of change, ACM TOIT 3(3), 2003.
	seen := 0.0
	if changed {
		expected := it.changeRate() * span
		seen = expected / -math.Expm1(-expected)
	}
	keep := math.Exp(-span / changesDecay.Seconds())
	it.changes = it.changes*keep + seen
	it.watched = it.watched*keep + span
}

// changeRate returns the estimated number of changes a second, which is never 0.
func (it *Item) changeRate() float64 {
	return (it.changes + priorWeight) / (it.watched + priorWeight/priorChanges)
}

// advance adds the budget of the time since the last tick to the allowance.
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
	// After a pause, the time for which there was no budget makes no record overdue, or
	// hot records would queue behind all cold ones until those have caught up.
	if lost := gap - 2*Tick; lost > 0 {
		for _, it := range s.items {
			it.due += lost
		}
	}
	if now-s.refreshed >= refreshInterval {
		s.refresh(now)
	}
}

// refresh counts the reads and distributes the budget anew.
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
		// The record keeps the fraction of its interval that is still to wait, not the
		// time: one that gets hot must not wait for the rest of the ten seconds it was
		// given when cold.
		if it.due > now {
			it.due = now + time.Duration(float64(it.due-now)*it.rate/rate)
		}
		it.rate = rate
	}
}

// minRate returns the checks a second that every record gets.
func (s *Schedule) minRate() float64 {
	return min(1/plannedInterval.Seconds(), intervalShare*s.budget/float64(len(s.items)), 1/Tick.Seconds())
}

// countReads adds the reads since the last count to the read rate: at once if there are
// surprisingly many, smoothed otherwise.
func (it *Item) countReads(now time.Duration) {
	total := it.reads.Load()
	count := float64(total - it.counted)
	// The window of a record that was just added is too short; a full one is assumed.
	window := max(now-it.countedAt, refreshInterval).Seconds()
	it.counted, it.countedAt = total, now
	expected := it.readRate * window
	if count > expected+surprise*math.Sqrt(expected+1) {
		it.readRate = count / window
		// How often a record changed before its contest began says little about the
		// contest.
		it.changes, it.watched = 0, 0
		return
	}
	it.readRate += (count/window - it.readRate) * -math.Expm1(-window/readsDecay.Seconds())
}

// squareRootWeight is the square-root rule. Less than one read an hour counts as none,
// because estimates decay for ever.
func squareRootWeight(it *Item) float64 {
	if it.readRate < 1.0/3600 {
		return 0
	}
	return math.Sqrt(it.readRate * it.changeRate())
}

// rateScale returns the factor that turns weights into rates which add up to budget once
// each is clamped between floor and ceiling; the nearest, if all rates are clamped.
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
	// The sum of the clamped rates grows with the factor, so bisection finds it. It
	// bisects the ratio, because weights span many powers of ten.
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

// seconds returns a duration of at most a day, so that no budget overflows it.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, 86400) * float64(time.Second))
}
