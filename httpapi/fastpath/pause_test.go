package fastpath

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausedConnectionIsNotReadAndAnEarlyRequestIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		start(t, l, time.Minute)
		c := l.dial(t)
		for _, step := range []struct {
			after time.Duration
			want  string
			took  time.Duration
		}{
			{0, "in time", 0},
			{0, "early", 1500 * time.Millisecond},
			{1900 * time.Millisecond, "early", 0},
			{2 * time.Second, "in time", 0},
			{time.Minute, "in time", 0},
		} {
			_ = c.SetDeadline(time.Time{})
			time.Sleep(step.after)
			sent := time.Now()
			c.send(post("/busy", ""))
			c.want(step.want, "")
			if took := time.Since(sent); took != step.took {
				t.Errorf("%s after the last answer: this one took %s; want %s", step.after, took, step.took)
			}
		}
		time.Sleep(1500 * time.Millisecond)
		c.send(post("/echo", "other") + post("/busy", ""))
		c.want("other", "")
		c.want("in time", "") // the last answer asked for nothing
		c.Close()
		l.Close()
	})
}

func TestShutdownDoesNotWaitForPausedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		_, s, _ := start(t, l, time.Minute)
		c := l.dial(t)
		c.send(post("/busy", ""))
		c.want("in time", "")
		synctest.Wait()
		begun := time.Now()
		if err := s.Shutdown(t.Context()); err != nil || time.Since(begun) > 0 {
			t.Errorf("it took %s (%v)", time.Since(begun), err)
		}
		c.wantEnd()
	})
}

func TestAnAnswerCountsAsWrittenWhenItsClientHasReadItOrIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		f, _, _ := start(t, l, time.Minute)
		reader, other := l.dial(t), l.dial(t)
		for _, c := range []*client{reader, other} {
			c.send(get("/held"))
		}
		synctest.Wait()
		if n := f.held.Load(); n != 2 {
			t.Errorf("%d answers are held before anything is read; want 2", n)
		}
		reader.want(strings.Repeat("x", 4<<20), "")
		other.Close()
		synctest.Wait()
		if n := f.held.Load(); n != 0 {
			t.Errorf("%d answers are still held", n)
		}
		reader.send(get("/held"))
		synctest.Wait()
		time.Sleep(time.Minute + time.Minute/4)
		synctest.Wait()
		if n := f.held.Load(); n != 0 {
			t.Errorf("an answer is held after its client had a minute to read it")
		}
		l.Close()
	})
}
