package pull

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// pollWorld drives a Schedule through virtual time, with Poisson reads and changes of
// every record. The master answers within the tick.
type pollWorld struct {
	schedule *Schedule
	random   *rand.Rand
	now      time.Duration
	keys     []string
	place    map[string]int
	items    []*Item
	reads    []float64 // reads a second
	changes  []float64 // changes a second
	stale    []bool    // changed since the last check

	readCount, staleCount, checkCount int
}

func newPollWorld(records int, budget float64, seed uint64) *pollWorld {
	w := &pollWorld{
		schedule: NewSchedule(budget),
		random:   rand.New(rand.NewPCG(seed, 7)),
		place:    make(map[string]int),
		reads:    make([]float64, records),
		changes:  make([]float64, records),
		stale:    make([]bool, records),
	}
	for i := range records {
		key := fmt.Sprintf("record/%05d", i)
		w.keys = append(w.keys, key)
		w.place[key] = i
		w.items = append(w.items, w.schedule.Add(key, 0))
	}
	return w
}

// tick lets a Tick pass: first reads and changes in the order of their times, drawn from
// the running sum of all their rates, then the checks that are due.
func (w *pollWorld) tick(sums []float64) []string {
	w.now += Tick
	all := sums[len(sums)-1]
	for left := Tick.Seconds(); all > 0; {
		if left -= w.random.ExpFloat64() / all; left < 0 {
			break
		}
		i, _ := slices.BinarySearch(sums, w.random.Float64()*all)
		if change := i - len(w.keys); change >= 0 {
			w.stale[change] = true
			continue
		}
		w.items[i].Read()
		w.readCount++
		if w.stale[i] {
			w.staleCount++
		}
	}
	due := w.schedule.Due(w.now)
	for _, key := range due {
		i := w.place[key]
		w.schedule.Checked(key, w.stale[i], w.now)
		w.stale[i] = false
		w.checkCount++
	}
	return due
}

// run lets span pass. It calls each, if that is not nil, with what was due in every tick.
func (w *pollWorld) run(span time.Duration, each func(due []string)) {
	sums, sum := make([]float64, 0, 2*len(w.keys)), 0.0
	for _, rate := range slices.Concat(w.reads, w.changes) {
		sum += rate
		sums = append(sums, sum)
	}
	for end := w.now + span; w.now < end; {
		if due := w.tick(sums); each != nil {
			each(due)
		}
	}
}

// counts lets span pass and returns how often each key was checked in it.
func (w *pollWorld) counts(span time.Duration) map[string]int {
	count := make(map[string]int)
	w.run(span, func(due []string) {
		for _, key := range due {
			count[key]++
		}
	})
	return count
}

// shuffle distributes total reads a second over the records in a new order, by Zipf's law
// with exponent 1.1.
func (w *pollWorld) shuffle(total float64) {
	order := w.random.Perm(len(w.keys))
	sum := 0.0
	for rank := range order {
		sum += math.Pow(float64(rank+1), -1.1)
	}
	for rank, i := range order {
		w.reads[i] = total * math.Pow(float64(rank+1), -1.1) / sum
	}
}

// rate returns the checks a second that the schedule plans for a record.
func (w *pollWorld) rate(i int) float64 { return w.schedule.byKey[w.keys[i]].rate }

// zipfReads returns the share of stale reads and the checks a second for Zipf(1.1) reads
// of 1,000 records, shuffled every 30 s. Each record has a change rate of its own
// (log-normal around one in 50 s). Popular records change more often, by the square root
// of their popularity.
func zipfReads(budget float64, weight func(*pollWorld) func(*Item) float64) (stale, checks float64) {
	const reads, warm = 2000.0, 30 * time.Second
	w := newPollWorld(1000, budget, 11)
	w.schedule.weight = weight(w)
	own := make([]float64, len(w.keys))
	for i := range own {
		own[i] = 0.02 * math.Exp(w.random.NormFloat64())
	}
	for round := range 5 {
		w.shuffle(reads)
		for i := range own {
			mean := reads / float64(len(w.keys))
			w.changes[i] = own[i] * max(0.5, math.Sqrt(w.reads[i]/mean))
		}
		if w.run(warm, nil); round == 0 {
			w.readCount, w.staleCount, w.checkCount = 0, 0, 0
		}
	}
	return float64(w.staleCount) / float64(w.readCount), float64(w.checkCount) / (w.now - warm).Seconds()
}

// ignoringWorld returns a rule for weights that needs no knowledge of the world.
func ignoringWorld(rule func(*Item) float64) func(*pollWorld) func(*Item) float64 {
	return func(*pollWorld) func(*Item) float64 { return rule }
}
