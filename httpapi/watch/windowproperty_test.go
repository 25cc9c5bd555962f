package watch

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"laurel/cache"
)

// Each watcher of a window, whenever it joined, however slowly it reads and wherever it
// resumes, has at each revision that it receives what GET answers at that revision, and in
// the end the last.
func TestAssembledWindowsEqualTheAnswersOfTheirRevisions(t *testing.T) {
	synctest.Test(t, testAssembledWindows)
}

func testAssembledWindows(t *testing.T) {
	s := newFakeStore()
	s.setMarks("C/1", "1", 1)
	windows := []Window{
		{ContestID: "C/1", Limit: 5},
		{ContestID: "C/1", Category: "F", Limit: 3},
		{ContestID: "C/1", Around: "7", Limit: 4},
		{ContestID: "C/1", Around: "F8", Category: "F", Limit: 100},
	}
	for _, w := range windows {
		s.recordAnswers(w)
	}
	other := newFakeStore()
	hubs := []*Hub{newHub(t, s), newHub(t, &otherFrontend{fakeStore: other, state: s})}
	stop, final := make(chan struct{}), make(chan struct{})
	var watchers sync.WaitGroup
	for n := range 16 {
		watchers.Go(func() { followWindow(t, hubs, s, windows[n%len(windows)], stop, final) })
	}
	const codes = 40 // and as many that begin with F
	changed := []string{cache.BoardTag("C/1")}
	for range 15_000 {
		code := fmt.Sprint(rand.N(codes))
		if rand.N(2) == 0 {
			code = "F" + code
		}
		if rand.N(4) == 0 {
			s.removeMark("C/1", code)
		} else {
			s.setMarks("C/1", code, rand.N(60), fmt.Sprint(rand.N(codes)), rand.N(60))
		}
		other.invalidations.Add(changed, false, s.lastRevision())
		time.Sleep(time.Millisecond)
	}
	close(stop)
	// In the end all windows have a total that they never had, so that nobody waits for a
	// change in vain.
	var last []any
	for i := range 2*codes + 1 {
		last = append(last, fmt.Sprint("F-last", i), 1000)
	}
	other.invalidations.Add(changed, false, s.setMarks("C/1", last...))
	close(final)
	watchers.Wait()
}

// followWindow watches a window until it is final. Now and then it reconnects or is slow.
func followWindow(t *testing.T, hubs []*Hub, s *fakeStore, w Window, stop, final <-chan struct{}) {
	lastID := ""
	for !t.Failed() {
		c := watchPipe(t, hubs[rand.N(len(hubs))], Subjects{Windows: []Window{w}}, lastID)
		v := new(windowView)
		revision := uint64(0)
		check := func(l leaderboard) {
			want, known := s.answerAt(w, l.Revision)
			if got := v.answer(); !known || got != want {
				t.Errorf("at revision %d %+v is\n%s\nwant\n%s", l.Revision, w, got, want)
			}
			if l.Revision < revision {
				t.Errorf("revision %d came after %d", l.Revision, revision)
			}
			revision = l.Revision
		}
		e := v.begin(t, c)
		if e.event == "snapshot" {
			check(e.data.Leaderboards[0])
		} else {
			check(e.data.leaderboard)
		}
		for range rand.N(3) {
			select {
			case <-stop:
				<-final
				for last := s.lastAnswer(w); v.answer() != last; {
					e := c.mustNext()
					v.apply(t, e.data.leaderboard, false)
					check(e.data.leaderboard)
				}
				c.conn.Close()
				return
			default:
			}
			if rand.N(4) == 0 {
				if release, ok := c.tryHoldWrites(); ok {
					time.AfterFunc(rand.N(6*refreshPause), release)
				}
			}
			e := c.mustNext()
			v.apply(t, e.data.leaderboard, false)
			check(e.data.leaderboard)
			lastID = e.id
		}
		c.conn.Close()
	}
}
