package watch

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"laurel/score"
)

func TestAStreamOf126MarksASecondIsTwoMessagesASecondAndEndsWithTheExactWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.mark("C/1", "0", 100_000)
		window := Window{ContestID: "C/1", Limit: 10}
		s.compare(window)
		h := newHub(t, s)
		here, there := net.Pipe()
		c, v := watchOn(t, h, Subjects{Boards: []Window{window}}, "", here, there), new(screen)
		v.begin(t, c)
		messages, over := 0, make(chan struct{})
		go func() {
			defer close(over)
			for {
				g, err := c.next()
				if err != nil {
					return
				}
				messages++
				v.take(t, g.data.told, false)
			}
		}()
		last := uint64(0)
		for i := range 1260 {
			last = s.mark("C/1", fmt.Sprint(i), 50_000-rand.N(40_000))
			time.Sleep(10 * time.Second / 1260)
		}
		time.Sleep(2 * boardPause)
		c.conn.Close()
		<-over
		if messages < 15 || messages > 22 {
			t.Errorf("%d messages came in 10 s, want about 2 a second", messages)
		}
		if got, want := v.answer(), s.races["C/1"].answers[window][last]; got != want {
			t.Errorf("at the end the window is\n%s\nwant\n%s", got, want)
		}
	})
}

func TestTheFirstChangeIsToldAtOnceAndTheNextWhenTheBoardHasRested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.mark("C/1", "11", 100)
		h := newHub(t, s)
		time.Sleep(time.Minute)
		here, there := net.Pipe()
		c, v := watchOn(t, h, Subjects{Boards: []Window{{ContestID: "C/1", Limit: 3}}}, "", here, there), new(screen)
		v.begin(t, c)
		for i, want := range []time.Duration{0, boardPause, 2 * boardPause} {
			began := time.Now()
			if i == 2 {
				time.Sleep(2 * boardPause) // it has rested
				began, want = time.Now(), 0
			}
			s.mark("C/1", "12", 90-i)
			v.until(t, c, "12", "11")
			if took := time.Since(began); took != want {
				t.Errorf("change %d was told after %s, want %s", i+1, took, want)
			}
		}
	})
}

// polled is a shop in pull mode of which the feed tells nothing.
type polled struct{ *shop }

func (polled) Ordered() bool { return false }

func TestInPullModeAWindowIsLookedAtAlsoWhenNothingIsToldOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.mark("C/1", "11", 100)
		h := newHub(t, polled{s})
		here, there := net.Pipe()
		c, v := watchOn(t, h, Subjects{Boards: []Window{{ContestID: "C/1", Around: "12", Limit: 5}}}, "", here, there), new(screen)
		if g := v.begin(t, c); g.id != "shop-pull" {
			t.Errorf("the id is %q", g.id)
		}
		time.Sleep(time.Second)
		s.mu.Lock()
		s.races["C/1"].board.Set(score.Mark{Competitor: "12", Value: 1})
		s.mu.Unlock()
		v.until(t, c, "12", "11")
	})
}
