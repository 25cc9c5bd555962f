package watch

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// Contests come, go, change, and enter and leave the selection while streams begin, resume,
// and are sent. At the end each watcher has what the store has: nothing older, nothing that is
// gone, and all that changed since it began.
func TestWatchersOfNowHaveTheStateOfTheStoreWheneverTheyJoin(t *testing.T) {
	s := newFakeStore()
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprint("C/", i))
	}
	const end = "Z/end"
	s.change(ids...)
	h := newHub(t, s)
	var watchers sync.WaitGroup
	var streams atomic.Int64
	for range 8 {
		watchers.Go(func() { followNow(t, h, s, end, &streams) })
	}
	for streams.Load() < 200 && !t.Failed() {
		awaitDelivered(t, h, s.lastRevision()-min(s.lastRevision(), 20)) // or streams would end for want of reading
		id := ids[rand.N(len(ids))]
		switch rand.N(4) {
		case 0:
			s.remove(id)
		default:
			s.change(id)
		}
		s.mu.Lock()
		rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		s.now = slices.Clone(ids[:4])
		if rand.N(100) == 0 {
			s.invalidations.Add(nil, true, s.revision) // another master
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.now = append(s.now, end)
	s.mu.Unlock()
	s.change(end)
	watchers.Wait()
}

// followNow keeps records as a client does until it has those of the end. It reconnects now
// and then, with its last id or as another client.
func followNow(t *testing.T, h *Hub, s *fakeStore, end string, streams *atomic.Int64) {
	has, lastID, began, complete := map[string]uint64{}, "", uint64(0), false
	take := func(id string, revision uint64) {
		if revision < has[id] {
			t.Errorf("%s came with revision %d after %d", id, revision, has[id])
		}
		has[id] = revision
	}
	for {
		c := watch(t, h, Subjects{Everything: true, Now: true}, lastID)
		streams.Add(1)
		for n := 1 + rand.N(40); n > 0 && !complete; n-- {
			e, err := c.next()
			if err != nil {
				t.Error(err)
				return
			}
			switch e.event {
			case "snapshot":
				began = e.data.Revision
				missing := maps.Clone(has)
				for _, r := range e.data.Scores {
					take(r.Contest, r.Revision)
					delete(missing, r.Contest)
				}
				for id, revision := range missing {
					if revision <= began {
						delete(has, id)
					}
				}
			case "score":
				take(e.data.Contest, e.data.Revision)
			case "removed":
				if e.data.Revision < has[e.data.Contest] {
					t.Errorf("%s was removed at revision %d after %d", e.data.Contest, e.data.Revision, has[e.data.Contest])
				}
				delete(has, e.data.Contest)
			}
			if e.id != "" {
				lastID = e.id
				p, _ := parsePosition("fake", e.id)
				complete = has[end] > 0 && p.records >= has[end]
			}
			// A stream may begin with records that are newer than its id. In a store that sends no
			// heartbeats nothing follows then.
			last := e.data.Contest == end || e.event == "snapshot" && !e.data.More
			if has[end] > 0 && last && !complete {
				break
			}
		}
		if !complete {
			c.conn.Close()
			if rand.N(4) == 0 {
				has, lastID = map[string]uint64{}, ""
			}
			continue
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for id, revision := range has {
			if list := s.changed[id]; len(list) == 0 || list[len(list)-1] != revision {
				t.Errorf("at the end a watcher has %s at revision %d; the store has %d", id, revision, list)
			}
		}
		for id, list := range s.changed {
			if last := list[len(list)-1]; last > began && has[id] == 0 {
				t.Errorf("a watcher that began at revision %d does not have %s, which changed at %d", began, id, last)
			}
		}
		c.conn.Close()
		return
	}
}

// stagedStore calls functions before it answers.
type stagedStore struct {
	*fakeStore
	changedSince, events func()
}

func (s *stagedStore) ChangedSince(ctx context.Context, from, upTo uint64) ([]string, bool, error) {
	s.changedSince()
	return s.fakeStore.ChangedSince(ctx, from, upTo)
}

func (s *stagedStore) Events(ctx context.Context, id string, after uint64) ([]Event, bool, error) {
	s.events()
	return s.fakeStore.Events(ctx, id, after)
}

// The stream resumes, and is told of a change; then it begins again, and in the time in which
// it is told nothing the contest goes.
func TestAStreamThatBeginsAgainHasNothingOfBefore(t *testing.T) {
	s := &stagedStore{fakeStore: newFakeStore(), changedSince: func() {}, events: func() {}}
	began := s.change("C/1", "C/2")
	h := newHub(t, s)
	awaitDelivered(t, h, began)
	subjects := Subjects{Everything: true, Now: true, Timelines: []string{"C/1"}}
	id := watch(t, h, subjects, "").mustNext().id
	awaitDelivered(t, h, s.change("C/1"))
	s.forget()
	s.changedSince = func() {
		s.changedSince = func() {}
		awaitDelivered(t, h, s.change("C/2"))
		s.events = func() {
			s.events = func() {}
			awaitDelivered(t, h, s.remove("C/2"))
		}
	}
	c := watch(t, h, subjects, id)
	last := s.change("C/3")
	for {
		e := c.mustNext()
		if e.event == "score" && e.data.Contest == "C/2" {
			t.Errorf("got C/2 at revision %d, which is gone", e.data.Revision)
		}
		if e.event == "score" && e.data.Revision == last {
			return
		}
	}
}
