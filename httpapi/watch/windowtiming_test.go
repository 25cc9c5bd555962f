package watch

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"laurel/score/ranking"
)

func TestAWindowThatChanges126TimesASecondIsSentTwiceASecondAndEndsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.setMarks("C/1", "0", 100_000)
		window := Window{ContestID: "C/1", Limit: 10}
		s.recordAnswers(window)
		h := newHub(t, s)
		c, v := watchWindow(t, h, window, "")
		messages, done := 0, make(chan struct{})
		go func() {
			defer close(done)
			for {
				e, err := c.next()
				if err != nil {
					return
				}
				messages++
				v.apply(t, e.data.leaderboard, false)
			}
		}()
		for i := range 1260 {
			s.setMarks("C/1", fmt.Sprint(i), 50_000-rand.N(40_000))
			time.Sleep(10 * time.Second / 1260)
		}
		time.Sleep(2 * refreshPause)
		c.conn.Close()
		<-done
		if messages < 15 || messages > 22 {
			t.Errorf("got %d messages in 10 s, want about 2 a second", messages)
		}
		if got, want := v.answer(), s.lastAnswer(window); got != want {
			t.Errorf("the window ends as\n%s\nwant\n%s", got, want)
		}
	})
}

func TestFirstChangeOfAWindowIsSentAtOnceAndTheNextAfterThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.setMarks("C/1", "11", 100)
		h := newHub(t, s)
		time.Sleep(time.Minute)
		c, v := watchWindow(t, h, Window{ContestID: "C/1", Limit: 3}, "")
		for i, want := range []time.Duration{0, refreshPause, 0} {
			if i == 2 {
				time.Sleep(2 * refreshPause)
			}
			began := time.Now()
			s.setMarks("C/1", "12", 90-i)
			v.until(t, c, "12", "11")
			if took := time.Since(began); took != want {
				t.Errorf("change %d was sent after %s, want %s", i+1, took, want)
			}
		}
	})
}

func TestInPullModeAWindowIsRefreshedWithoutAnInvalidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.setMarks("C/1", "11", 100)
		h := newHub(t, pullStore{s})
		window := Window{ContestID: "C/1", Around: "12", Limit: 5}
		c, v := watchPipe(t, h, Subjects{Windows: []Window{window}}, ""), new(windowView)
		if e := v.begin(t, c); e.id != "fake-pull" {
			t.Errorf("the id is %q", e.id)
		}
		time.Sleep(time.Second)
		s.mu.Lock()
		s.boards["C/1"].rows.Set(ranking.Mark{Competitor: "12", Value: 1})
		s.mu.Unlock()
		v.until(t, c, "12", "11")
	})
}
