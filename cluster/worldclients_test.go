package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/fsm/view"
	"laurel/score"
	"laurel/score/mark"
)

// begin defines the contests and starts bards and readers.
func (r *history) begin() bool {
	for i := range worldContests {
		for seq, data := range []score.Data{
			&score.ContestDefine{
				Kind: score.HeadToHead, Sport: "stone-curling",
				Competitors: []score.Entrant{{Code: "GAU"}, {Code: "ROM"}},
			},
			&score.ContestStatus{ScheduleStatus: "RUNNING", ResultStatus: "LIVE", Period: "END1"},
		} {
			kind := score.TypeContestDefine
			if seq == 1 {
				kind = score.TypeContestStatus
			}
			if !r.post(r.w.rand, event("bard/first", uint64(2*i+seq+1), kind, i, data)) {
				r.w.problemf("the world could not begin")
				return false
			}
		}
	}
	for i := range 3 {
		r.bards.Go(func() { r.bard(i) })
	}
	for i := range 6 {
		r.readers.Go(func() { r.reader(i) })
	}
	return true
}

func event(source string, seq uint64, kind score.Type, contest int, data score.Data) score.Event {
	return score.Event{
		ID: fmt.Sprintf("%s-%d", source, seq), IDGiven: true, Source: source, Seq: seq,
		Type: kind, Time: time.Now(), TimeGiven: true, ContestID: contestID(contest), Data: data,
	}
}

// reachable returns a random running process, nil if it cannot be reached.
func (r *history) reachable(rnd *rand.Rand) *worldMember {
	up := r.w.up()
	if len(up) == 0 {
		return nil
	}
	if m := up[rnd.IntN(len(up))]; !r.w.net.isPaused(m.node.id) {
		return m
	}
	return nil
}

func (r *history) bard(number int) {
	rnd := rand.New(rand.NewPCG(r.w.seed, 100+uint64(number)))
	for seq := uint64(1); !r.stop.Load() && !r.w.over.Load(); seq++ {
		contest := rnd.IntN(worldContests)
		one := mark.Points(1)
		play := &score.ScorePlay{Competitor: "GAU", Delta: &one}
		e := event(fmt.Sprintf("bard/%d", number), seq, score.TypeScorePlay, contest, play)
		if rnd.IntN(5) == 0 {
			e.Type, e.Data = score.TypeContestStatus, &score.ContestStatus{Clock: strconv.FormatUint(seq%60, 10)}
		}
		if !r.post(rnd, e) {
			return
		}
		time.Sleep(time.Duration(rnd.ExpFloat64() * r.w.plan.pauses(25*time.Millisecond)))
	}
}

// post posts an event to any frontend, again until it is answered, as a bard does.
func (r *history) post(rnd *rand.Rand, e score.Event) bool {
	for began := time.Now(); !r.w.over.Load(); {
		if time.Since(began) > time.Minute {
			r.w.problemf("%s was not answered within a minute", e.ID)
			return false
		}
		m := r.reachable(rnd)
		if m == nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		results, err := m.Post(ctx, score.Post{Events: []score.Event{e}})
		cancel()
		if m.crashed.Load() {
			continue
		}
		if err != nil {
			r.count("posts not answered")
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if p := results[0].Problem; p != nil {
			r.w.problemf("%s was refused by %s: %v", e.ID, m.node.id, p)
			return false
		}
		r.learn(results[0].Revision)
		r.mu.Lock()
		r.acked = append(r.acked, ack{e.ID, results[0].Revision})
		r.mu.Unlock()
		r.count(results[0].Status)
		return true
	}
	return false
}

func askContest(i int) queries.Ask {
	return func(v queries.View) ([]byte, uint64, error) {
		rec, ok, err := v.Contest(contestID(i))
		if err != nil || !ok {
			return nil, 0, err
		}
		body, err := queries.Encode(rec)
		return body, rec.Revision, err
	}
}

func askTimeline(i int) queries.Ask {
	return func(v queries.View) ([]byte, uint64, error) {
		rec, _, err := v.Contest(contestID(i))
		return fmt.Appendf(nil, `{"revision":%d}`, rec.Revision), v.Revision(), err
	}
}

func askAll(v queries.View) ([]byte, uint64, error) {
	return fmt.Appendf(nil, `{"revision":%d}`, v.Revision()), v.Revision(), nil
}

// questions returns the question for a key that readers ask.
func questions(key string) (tag string, ask queries.Ask, err error) {
	if key == "all" {
		return cache.AnyTag, askAll, nil
	}
	for i := range worldContests {
		switch key {
		case cache.ScoreKey(contestID(i)):
			return "", askContest(i), nil
		case "pages/" + contestID(i):
			return cache.TimelineTag(contestID(i)), askTimeline(i), nil
		}
	}
	return "", nil, score.Problemf(score.NotFound, "no such key")
}

// revisionIn returns the revision that an answer shows.
func revisionIn(body []byte) uint64 {
	_, rest, _ := bytes.Cut(body, []byte(`"revision":`))
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, _ := strconv.ParseUint(string(rest[:end]), 10, 64)
	return n
}

func (r *history) reader(index int) {
	rnd := rand.New(rand.NewPCG(r.w.seed, 200+uint64(index)))
	for !r.w.over.Load() {
		time.Sleep(time.Duration(rnd.ExpFloat64() * r.w.plan.pauses(4*time.Millisecond)))
		m := r.reachable(rnd)
		if m == nil {
			continue
		}
		contest, key := rnd.IntN(worldContests), "all"
		switch rnd.IntN(3) {
		case 0:
			contest = -1
		case 1:
			key = cache.ScoreKey(contestID(contest))
		case 2:
			key = "pages/" + contestID(contest)
		}
		switch {
		case m.CacheMode() == score.Pull && rnd.IntN(4) > 0:
			r.pull(m, contest, key)
		case rnd.IntN(20) == 0 && r.w.plan.rules == 0:
			r.stale(m, contest, key)
		case contest >= 0 && rnd.IntN(4) == 0:
			r.direct(m, contest)
		default:
			r.read(m, contest, key, rnd.IntN(3) == 0)
		}
	}
}

// direct reads an answer that the cache does not keep, as for leaderboards.
func (r *history) direct(m *worldMember, contest int) {
	s := observedRead{by: m.node.id, contest: contest, floor: r.known.Load()}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	how, err := m.frontend.Direct(ctx, m.machine, func() (uint64, error) {
		err := m.machine.View(func(v *view.View) error {
			rec, _, err := v.Contest(contestID(contest))
			s.shown = rec.Revision
			return err
		})
		return s.shown, err
	})
	switch {
	case m.crashed.Load():
	case errors.Is(err, cache.ErrNotLeased):
		r.count("not leased")
	case err != nil:
		r.count("failed: " + err.Error())
	default:
		s.at, s.how = r.now(), "direct: "+how
		r.addRead(s)
	}
}

func (r *history) read(m *worldMember, contest int, key string, hit bool) {
	s := observedRead{by: m.node.id, contest: contest, floor: r.known.Load()}
	began := r.now()
	if hit {
		e, lease := m.Find([]byte(key))
		if e == nil || m.crashed.Load() {
			return
		}
		s.how = "hit at once"
		if !lease.Visible(e.Revision) {
			s.how = "wait at once"
			select {
			case <-lease.Released(e.Revision):
			case <-time.After(time.Second):
			}
			if !lease.Visible(e.Revision) || m.crashed.Load() {
				return
			}
		}
		s.shown = revisionIn(e.Body)
	} else {
		tag, ask, _ := questions(key)
		if r.w.plan.rules&cache.MutationReadStateMachine != 0 && m.Master() {
			m.machine.View(func(v *view.View) error {
				body, _, err := ask(v)
				s.how, s.shown = "machine", revisionIn(body)
				return err
			})
		} else {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			e, how, err := m.Answer(ctx, key, tag, ask)
			cancel()
			switch {
			case m.crashed.Load():
				return
			case errors.Is(err, cache.ErrNotLeased):
				r.count("not leased")
				return
			case err != nil:
				r.count("failed: " + err.Error())
				return
			}
			s.how, s.shown = how, revisionIn(e.Body)
		}
	}
	s.at = r.now()
	if s.at != began {
		r.count("reads that waited")
	}
	r.addRead(s)
}

// floorOf returns the revision that was known at the earliest time of an answer with an
// age.
func (r *history) floorOf(m *worldMember, age time.Duration) uint64 {
	return r.knownAt(r.now() - time.Duration(float64(age)/m.node.rate) - time.Microsecond)
}

func (r *history) pull(m *worldMember, contest int, key string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	e, how, age, err := m.Pull(ctx, key)
	if m.crashed.Load() {
		return
	}
	if err != nil {
		r.count("pulls not answered")
		return
	}
	r.addRead(observedRead{
		at: r.now(), by: m.node.id, how: "pull: " + how, contest: contest,
		floor: r.floorOf(m, age), shown: revisionIn(e.Body),
	})
}

func (r *history) stale(m *worldMember, contest int, key string) {
	_, ask, _ := questions(key)
	var shown uint64
	age, known, err := m.Stale(func(v queries.View) error {
		body, _, err := ask(v)
		shown = revisionIn(body)
		return err
	})
	if m.crashed.Load() || err != nil || !known {
		return
	}
	r.addRead(observedRead{
		at: r.now(), by: m.node.id, how: answeredStale, contest: contest,
		floor: r.floorOf(m, age), shown: shown,
	})
}
