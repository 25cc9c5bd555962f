package watch

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// Whoever watches a window, whenever it came, however slow it is and wherever it goes on, sees at each revision that it is told what GET says at that
// revision, and in the end the last.
func TestWindowsPutTogetherAreTheAnswersOfTheirRevisions(t *testing.T) {
	s := newShop()
	s.mark("C/1", "1", 1)
	windows := []Window{{ContestID: "C/1", Limit: 5}, {ContestID: "C/1", Category: "F", Limit: 3}, {ContestID: "C/1", Around: "7", Limit: 4},
		{ContestID: "C/1", Around: "F8", Category: "F", Limit: 100}}
	for _, w := range windows {
		s.compare(w)
	}
	other := newShop()
	hubs := []*Hub{newHub(t, s), newHub(t, &elsewhere{other, s})}
	done, over := make(chan struct{}), make(chan struct{})
	var watchers sync.WaitGroup
	for n := range 16 {
		watchers.Go(func() { followBoard(t, hubs, s, windows[n%len(windows)], done, over) })
	}
	const codes = 40 // and as many with an F before them
	for range 800 {
		code := fmt.Sprint(rand.N(codes))
		if rand.N(2) == 0 {
			code = "F" + code
		}
		if rand.N(4) == 0 {
			s.unmark("C/1", code)
		} else {
			s.mark("C/1", code, rand.N(60), fmt.Sprint(rand.N(codes)), rand.N(60))
		}
		other.feed.Add([]string{"leaderboard/C/1"}, false, 0)
		time.Sleep(time.Millisecond) // 1,000 marks a second, for a few turns of the boards
	}
	close(done)
	// Now all windows have a total that they never had, so that who waits for a change is not left waiting.
	var last []any
	for i := range 2*codes + 1 {
		last = append(last, fmt.Sprint("F-last", i), 1000)
	}
	s.mark("C/1", last...)
	other.feed.Add([]string{"leaderboard/C/1"}, false, 0)
	close(over)
	watchers.Wait()
}

// followBoard watches a window until it is final, leaving now and then, and reading slowly now and then.
func followBoard(t *testing.T, hubs []*Hub, s *shop, w Window, done, over <-chan struct{}) {
	lastID := ""
	for round := 0; ; round++ {
		c, v := watch(t, hubs[rand.N(len(hubs))], Subjects{Boards: []Window{w}}, lastID), new(screen)
		revision := uint64(0)
		check := func(m told) {
			s.mu.Lock()
			want, known := s.races["C/1"].answers[w][m.Revision]
			s.mu.Unlock()
			if got := v.answer(); !known || got != want {
				t.Errorf("at revision %d %+v is\n%s\nwant\n%s", m.Revision, w, got, want)
			}
			if m.Revision < revision {
				t.Errorf("revision %d came after %d", m.Revision, revision)
			}
			revision = m.Revision
		}
		g := v.begin(t, c)
		if g.event == "snapshot" {
			check(g.data.Leaderboards[0])
		} else {
			check(g.data.told)
		}
		for range rand.N(3) {
			select {
			case <-done:
				<-over
				final := s.final(w)
				for v.answer() != final {
					g := c.mustNext()
					v.take(t, g.data.told, false)
					check(g.data.told)
				}
				c.conn.Close()
				return
			default:
			}
			if rand.N(4) == 0 {
				time.AfterFunc(rand.N(2*boardPause), c.hold())
			}
			g := c.mustNext()
			v.take(t, g.data.told, false)
			check(g.data.told)
			lastID = g.id
		}
		c.conn.Close()
		if t.Failed() {
			return
		}
	}
}

// final is what GET says of a window now.
func (s *shop) final(w Window) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.races["C/1"].answers[w][s.races["C/1"].revision]
}
