package pull

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestScheduleNeverExceedsItsBudget(t *testing.T) {
	for _, budget := range []float64{3, 200, 1000} {
		w := newPollWorld(1000, budget, 1)
		w.shuffle(2000)
		for i := range w.changes {
			w.changes[i] = 0.2
		}
		perTick := budget * Tick.Seconds()
		burst := perTick + max(1, perTick)
		// The largest excess over the budget of any span that ends now.
		excess, worst, total := 0.0, 0.0, 0
		w.run(60*time.Second, func(due []string) {
			if len(due) > int(burst) {
				t.Fatalf("budget %v: %d checks in one tick, at most %v allowed", budget, len(due), burst)
			}
			total += len(due)
			excess = max(0, excess-perTick) + float64(len(due))
			worst = max(worst, excess)
		})
		if worst > burst+1e-6 {
			t.Errorf("budget %v: some span had %.2f checks more than its budget, at most %v allowed",
				budget, worst, burst)
		}
		if used := float64(total) / 60; used < 0.9*budget {
			t.Errorf("budget %v: only %.1f checks a second used", budget, used)
		}
	}
}

func TestScheduleBudgetHoldsAcrossAPauseAndIrregularTicks(t *testing.T) {
	w := newPollWorld(1000, 200, 2)
	w.shuffle(2000)
	w.run(20*time.Second, nil)
	hot := w.keys[slices.Index(w.reads, slices.Max(w.reads))]
	w.now += time.Minute
	w.run(time.Second, func(due []string) {
		if len(due) > 20 {
			t.Fatalf("%d checks in a tick after a pause of a minute, at most 20 allowed", len(due))
		}
	})
	if checks := w.counts(time.Second)[hot]; checks < 5 {
		t.Errorf("one second after the pause the hottest record was checked %d times a second, want >= 5", checks)
	}
	if due := w.schedule.Due(w.now); len(due) > 10 {
		t.Errorf("a second call at the same time handed out %d more checks", len(due))
	}
	if due := w.schedule.Due(w.now - time.Second); len(due) > 0 {
		t.Errorf("a call with an earlier time handed out %v", due)
	}
}

func TestScheduleChecksEveryRecordWithinMaxInterval(t *testing.T) {
	w := newPollWorld(1000, Budget, 3)
	for i := range w.changes {
		w.changes[i] = 2 * w.random.Float64()
	}
	last := make([]time.Duration, len(w.keys))
	longest := time.Duration(0)
	for range 3 {
		w.shuffle(2000)
		w.run(30*time.Second, func(due []string) {
			for _, key := range due {
				i := w.place[key]
				longest = max(longest, w.now-last[i])
				last[i] = w.now
			}
		})
	}
	for i := range last {
		longest = max(longest, w.now-last[i])
	}
	t.Logf("1,000 records, %v checks/s: longest time between two checks of a record %v", Budget, longest)
	if longest > MaxInterval {
		t.Errorf("a record was not checked for %v, floor is %v", longest, MaxInterval)
	}
}

func TestScheduleWithTooManyRecordsStillChecksAllAndFavoursTheHot(t *testing.T) {
	w := newPollWorld(10_000, Budget, 4)
	w.reads[77], w.changes[77] = 500, 1
	seen := w.counts(80 * time.Second)
	if len(seen) != 10_000 {
		t.Errorf("%d of 10,000 records checked in 80 s", len(seen))
	}
	if rate := float64(seen[w.keys[77]]) / 80; rate < 15 {
		t.Errorf("the only record that is read was checked %.1f times a second, want >= 15", rate)
	}
}

func TestScheduleNeverChecksOneRecordTwiceInATick(t *testing.T) {
	w := newPollWorld(3, Budget, 5)
	w.reads[0], w.reads[1], w.reads[2] = 1000, 1, 0
	w.changes[0] = 50
	total := 0
	w.run(10*time.Second, func(due []string) {
		if slices.Sort(due); len(slices.Compact(slices.Clone(due))) != len(due) {
			t.Fatalf("a key twice in %v", due)
		}
		if slices.Contains(due, w.keys[0]) {
			total++
		}
	})
	if rate := w.rate(0); rate > 20 {
		t.Errorf("hot record is given %.1f checks a second of the budget, ceiling is 20", rate)
	}
	if total < 190 {
		t.Errorf("hot record checked %d times in 10 s, want nearly 200", total)
	}
}

func TestScheduleNoticesAHotRecordWithinASecond(t *testing.T) {
	for _, changes := range []float64{0, 1} {
		worst := math.MaxInt
		for seed := range uint64(10) {
			w := newPollWorld(1001, Budget, seed)
			for i := range w.reads {
				w.reads[i], w.changes[i] = 2*w.random.Float64(), 0.1*w.random.Float64()
			}
			final := int(seed) * 100
			w.reads[final], w.changes[final] = 0, 0
			w.run(30*time.Second, nil)
			w.reads[final], w.changes[final] = 1000, changes
			w.run(time.Second, nil)
			worst = min(worst, w.counts(time.Second)[w.keys[final]])
		}
		t.Logf("final of 1,000 reads/s and %v changes/s among 1,000 others: at least %d checks in the second second",
			changes, worst)
		if worst < 5 {
			t.Errorf("changes %v/s: a record hot for a second was checked %d times in the next, want >= 5",
				changes, worst)
		}
	}
}

func TestScheduleForgetsAHotRecordSlowly(t *testing.T) {
	w := newPollWorld(1001, Budget, 6)
	for i := range w.reads {
		w.reads[i], w.changes[i] = 1, 0.05
	}
	w.reads[0], w.changes[0] = 1000, 1
	w.run(30*time.Second, nil)
	hot := w.rate(0)
	w.reads[0], w.changes[0] = 0, 0
	w.run(2*time.Second, nil)
	if rate := w.rate(0); rate < hot/2 {
		t.Errorf("two seconds without a read cut the rate from %.1f to %.1f, want at least half", hot, rate)
	}
	w.run(60*time.Second, nil)
	if rate := w.rate(0); rate > 0.2 {
		t.Errorf("a minute after its last read the record still gets %.2f checks a second", rate)
	}
}

// Four groups of records, reads and changes each apart by factors of four and nine.
func TestScheduleRatesFollowTheSquareRoot(t *testing.T) {
	groups := []struct{ reads, changes float64 }{{10, 0.4}, {40, 0.4}, {10, 0.1}, {90, 0.1}}
	const size = 25
	w := newPollWorld(len(groups)*size, 160, 8)
	for i := range w.keys {
		w.reads[i], w.changes[i] = groups[i/size].reads, groups[i/size].changes
	}
	w.run(60*time.Second, nil)
	checks := make([]float64, len(groups))
	for key, n := range w.counts(120 * time.Second) {
		checks[w.place[key]/size] += float64(n)
	}
	weights, all := 0.0, 0.0
	for i, g := range groups {
		weights += math.Sqrt(g.reads * g.changes)
		all += checks[i]
	}
	for i, g := range groups {
		want := math.Sqrt(g.reads*g.changes) / weights
		got := checks[i] / all
		t.Logf("%3.0f reads/s %.1f changes/s: %.1f %% of the checks, square root %.1f %%",
			g.reads, g.changes, 100*got, 100*want)
		if math.Abs(got/want-1) > 0.15 {
			t.Errorf("%v: %.3f of the checks, want %.3f within 15 %%", g, got, want)
		}
	}
}

func TestScheduleDistributesWhatTheClampsLeave(t *testing.T) {
	weights := []float64{1000, 4, 2, 1, 0}
	const floor, ceiling, budget = 0.5, 20.0, 27.5
	scale := rateScale(weights, floor, ceiling, budget)
	want := []float64{20, 4, 2, 1, 0.5}
	for i, w := range weights {
		if got := min(max(scale*w, floor), ceiling); math.Abs(got-want[i]) > 1e-4 {
			t.Errorf("weight %v: rate %v, want %v", w, got, want[i])
		}
	}
	if scale := rateScale([]float64{0, 0}, floor, ceiling, budget); scale != 0 {
		t.Errorf("scale %v without any weight, want 0", scale)
	}
	if scale := rateScale([]float64{1, 2}, floor, ceiling, 1e6); scale < 19.99 {
		t.Errorf("scale %v with more budget than the ceiling takes, want 20", scale)
	}
}

func TestScheduleEstimatesChangesFasterThanItsChecks(t *testing.T) {
	for _, rate := range []float64{0.05, 0.5, 2} {
		random := rand.New(rand.NewPCG(9, 9))
		s := NewSchedule(Budget)
		it := s.Add("a", 0)
		sum, n := 0.0, 0
		for now := time.Duration(0); now < 1000*time.Second; {
			// Irregular checks, half a second apart on average.
			span := random.Float64()
			now += seconds(span)
			s.Checked("a", random.Float64() < -math.Expm1(-rate*span), now)
			if now > 100*time.Second {
				sum, n = sum+it.changeRate(), n+1
			}
		}
		mean := sum / float64(n)
		t.Logf("%.2f changes/s: estimated %.3f on average", rate, mean)
		if math.Abs(mean-rate) > 0.25*rate+0.02 {
			t.Errorf("%v changes/s: estimated %.3f on average", rate, mean)
		}
	}
	it := &Item{}
	if it.changeRate() != priorChanges {
		t.Errorf("a new record is believed to change %v times a second, want %v", it.changeRate(), priorChanges)
	}
}

func TestScheduleServesClearlyFewerStaleReadsThanAFixedOne(t *testing.T) {
	known := func(w *pollWorld) func(*Item) float64 {
		return func(it *Item) float64 { i := w.place[it.key]; return math.Sqrt(w.reads[i] * w.changes[i]) }
	}
	share := make(map[string]float64)
	for _, rule := range []struct {
		name   string
		weight func(*pollWorld) func(*Item) float64
	}{
		{"fixed", ignoringWorld(func(*Item) float64 { return 1 })},
		{"proportional to reads", ignoringWorld(func(it *Item) float64 { return it.readRate })},
		{"square root", ignoringWorld(squareRootWeight)},
		{"square root, true rates known", known},
	} {
		stale, checks := zipfReads(Budget, rule.weight)
		share[rule.name] = stale
		t.Logf("%-30s %5.2f %% of reads stale, %.1f checks/s", rule.name, 100*stale, checks)
	}
	root, fixed, reads := share["square root"], share["fixed"], share["proportional to reads"]
	if root > 0.5*fixed {
		t.Errorf("%.2f %% of reads stale, fixed %.2f %%: want at most half", 100*root, 100*fixed)
	}
	if root > reads {
		t.Errorf("%.2f %% of reads stale, proportional to reads %.2f %%: want fewer", 100*root, 100*reads)
	}
}

func TestScheduleServesFewerStaleReadsTheMoreItMayCheck(t *testing.T) {
	before := 1.0
	for _, budget := range []float64{50, 100, 200, 400, 800} {
		stale, checks := zipfReads(budget, ignoringWorld(squareRootWeight))
		fixed, _ := zipfReads(budget, ignoringWorld(func(*Item) float64 { return 1 }))
		t.Logf("budget %4.0f checks/s (%6.1f used): %5.2f %% of reads stale, fixed %5.2f %%",
			budget, checks, 100*stale, 100*fixed)
		if stale > 0.9*before || stale > 0.7*fixed {
			t.Errorf("budget %v: %.4f of reads stale; half the budget %.4f, fixed %.4f", budget, stale, before, fixed)
		}
		before = stale
	}
}

func TestScheduleIsDeterministic(t *testing.T) {
	history := func() (all [][]string) {
		w := newPollWorld(300, 100, 12)
		w.shuffle(500)
		w.run(20*time.Second, func(due []string) { all = append(all, due) })
		return all
	}
	if !reflect.DeepEqual(history(), history()) {
		t.Error("two runs of the same calls handed out different checks")
	}
}

func TestScheduleForgetsRemovedRecords(t *testing.T) {
	s := NewSchedule(Budget)
	var gone *Item
	for i := range 100_000 {
		gone = s.Add(fmt.Sprint(i), 0)
		if i >= 100 {
			s.Remove(fmt.Sprint(i - 100))
		}
	}
	if len(s.items) != 100 || len(s.byKey) != 100 || cap(s.items) > 256 {
		t.Fatalf("%d records, %d keys, room for %d; want 100 held", len(s.items), len(s.byKey), cap(s.items))
	}
	for _, it := range s.items[len(s.items):cap(s.items)] {
		if it != nil {
			t.Fatalf("removed record %q is still referenced", it.key)
		}
	}
	s.Remove("99999")
	s.Remove("99999")
	gone.Read()
	s.Checked("99999", true, time.Second)
	for now := time.Duration(0); now < 30*time.Second; now += Tick {
		if slices.Contains(s.Due(now), "99999") {
			t.Fatal("a removed record was handed out")
		}
	}
	if s.byKey["99999"] != nil || len(s.items) != 99 {
		t.Errorf("%d held after removal: %v", len(s.items), s.byKey["99999"])
	}
	if s.Add("99998", 0) != s.byKey["99998"] || len(s.items) != 99 {
		t.Error("adding a held record again must return its item")
	}
}

func TestScheduleCountsReadsOfManyReadersWithoutALock(t *testing.T) {
	w := newPollWorld(10, Budget, 13)
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 10_000 {
				w.items[3].Read()
			}
		}()
	}
	w.run(5*time.Second, nil)
	for range 4 {
		<-done
	}
	if got := w.items[3].reads.Load(); got != 40_000 {
		t.Errorf("%d reads counted, want 40000", got)
	}
	if allocs := testing.AllocsPerRun(100, w.items[3].Read); allocs != 0 {
		t.Errorf("a read allocates %v times", allocs)
	}
}

// One iteration is one second of a frontend: 20 ticks, 4 of them with new rates.
func BenchmarkScheduleSecond(b *testing.B) {
	for _, records := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(records), func(b *testing.B) {
			w := newPollWorld(records, Budget, 14)
			w.shuffle(2000)
			b.ReportAllocs()
			for b.Loop() {
				for range 20 {
					for i, it := range w.items {
						it.reads.Add(uint64(w.reads[i] * Tick.Seconds()))
					}
					w.now += Tick
					for _, key := range w.schedule.Due(w.now) {
						w.schedule.Checked(key, true, w.now)
					}
				}
			}
		})
	}
}
