package readindex

import (
	"errors"
	"testing"
	"testing/synctest"

	"laurel/cluster/peer"
)

func TestConcurrentReadsShareALaterRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{}, 10)
		proceed := make(chan error)
		r := New(Config{})
		r.round = func() error {
			began <- struct{}{}
			return <-proceed
		}
		outcome := make(chan error, 10)
		confirm := func() { outcome <- r.Confirm(t.Context()) }
		go confirm()
		<-began // the first round is under way; later reads must not join it
		for range 5 {
			go confirm()
		}
		synctest.Wait()
		proceed <- nil
		if err := <-outcome; err != nil {
			t.Fatal(err)
		}
		<-began
		synctest.Wait()
		if len(outcome) > 0 {
			t.Fatal("a read was answered by a round that had begun before it")
		}
		lost := peer.NotMaster()
		proceed <- lost
		for range 5 {
			if err := <-outcome; !errors.Is(err, lost) {
				t.Errorf("got %v; want %v", err, lost)
			}
		}
		if len(began) > 0 {
			t.Error("reads that waited together did not share a round")
		}
	})
}
