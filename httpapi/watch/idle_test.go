package watch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A heartbeat every five seconds is all that an idle watcher costs: nothing is read from
// the store, which would ask other members.
func TestIdleWatchersReadNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.change("C/1")
		h := New(s, 2)
		defer h.Close()
		for n := range 100 {
			w, _, err := begin(t.Context(), h, Subjects{Contests: []string{fmt.Sprintf("C/%d", n%3)}}, "")
			if err != nil {
				t.Fatal(err)
			}
			defer h.Remove(w)
		}
		time.Sleep(time.Second) // virtual
		synctest.Wait()
		before := s.reads
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.reads != before || before == 0 {
			t.Errorf("a hundred idle watchers read %d records in a minute, after %d at first", s.reads-before, before)
		}
	})
}
