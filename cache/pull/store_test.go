package pull

import (
	"fmt"
	"testing"
	"time"
)

func take(t *testing.T, s *Store, key string, p Polled, sent, now time.Duration, want string) {
	t.Helper()
	if got := s.Take(key, &p, sent, now); got != want {
		t.Errorf("the check of %s at %v was %s, want %s", key, now, got, want)
	}
}

func wantAnswer(t *testing.T, s *Store, key string, now time.Duration, body string, age time.Duration) {
	t.Helper()
	e, got := s.Get(key, now)
	switch {
	case e == nil && body != "":
		t.Errorf("no answer to %s at %v, want %q", key, now, body)
	case e != nil && (string(e.Body) != body || got != age):
		t.Errorf("%s at %v: %q of age %v, want %q of age %v", key, now, e.Body, got, body, age)
	}
}

func TestStoreGivesAnAnswerWithTheAgeOfItsLastCheck(t *testing.T) {
	s := NewStore(1 << 20)
	wantAnswer(t, s, "k", time.Second, "", 0)
	take(t, s, "k", Polled{Body: []byte("a"), Revision: 1}, time.Second, 1100*time.Millisecond, New)
	wantAnswer(t, s, "k", 2*time.Second, "a", time.Second)
	sum := s.Sums([]string{"k", "other"})
	if string(sum[0]) != string(Sum([]byte("a"))) || sum[1] != nil {
		t.Errorf("sums %x", sum)
	}
	take(t, s, "k", Polled{Same: true, Revision: 1}, 3*time.Second, 3*time.Second, Same)
	wantAnswer(t, s, "k", 4*time.Second, "a", time.Second)
	take(t, s, "k", Polled{Body: []byte("old")}, 2*time.Second, 5*time.Second, Late)
	take(t, s, "k", Polled{Body: []byte("b"), Revision: 2}, 5*time.Second, 5*time.Second, Changed)
	wantAnswer(t, s, "k", 5*time.Second, "b", 0)
	wantAnswer(t, s, "k", 5*time.Second+maxAge+1, "", 0)
	take(t, s, "k", Polled{Missing: true}, 6*time.Second, 6*time.Second, Gone)
	wantAnswer(t, s, "k", 6*time.Second, "", 0)
}

func TestStoreKeepsToItsBoundsAndDropsWhatNobodyReads(t *testing.T) {
	s := NewStore(100)
	for i := range 20 {
		now := time.Duration(i+1) * time.Second
		take(t, s, fmt.Sprint(i), Polled{Body: make([]byte, 10)}, now, now, New)
	}
	if len(s.answers) != 10 || s.bytes != 100 || len(s.schedule.items) != 10 {
		t.Errorf("%d answers of %d bytes, %d scheduled; want 10 of 100", len(s.answers), s.bytes, len(s.schedule.items))
	}
	now := 20*time.Second + maxIdle + 1
	s.Get("19", now-time.Second)
	take(t, s, "18", Polled{Same: true}, now, now, Same)
	if e, _ := s.Get("18", now); e != nil {
		t.Errorf("an answer is held that nobody read for %v", maxIdle)
	}
	s.Clear()
	if len(s.answers) != 0 || s.bytes != 0 {
		t.Errorf("%d answers of %d bytes after Clear", len(s.answers), s.bytes)
	}
}
