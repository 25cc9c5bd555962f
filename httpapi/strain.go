package httpapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Raft's heartbeats are goroutines like all others: where those of clients are so many that each waits long for a processor, masters are lost. So it is
// felt how long one waits.
const (
	feelEvery = 20 * time.Millisecond
	// tooLate is a third of the shortest election timeout, and lateTimes how often in a row it must be felt, and not felt, before something is done.
	tooLate   = 50 * time.Millisecond
	lateTimes = 3
	// restAfterHit is how long a connection is not read after an answer from memory while that is so: who asks one question after the other asks
	// fewer, and nobody is refused what costs so little.
	restAfterHit = 100 * time.Millisecond
)

// feel notes, until the API is closed, whether goroutines wait long to run.
func (a *API) feel() {
	late, inTime := 0, 0
	for {
		start := time.Now()
		select {
		case <-a.closed:
			return
		case <-time.After(feelEvery):
		}
		delay := time.Since(start) - feelEvery
		a.metrics.delay.Set(delay.Seconds())
		if delay >= tooLate {
			late, inTime = late+1, 0
		} else {
			late, inTime = 0, inTime+1
		}
		switch {
		case late >= lateTimes:
			a.late.Store(true)
		case inTime >= lateTimes:
			a.late.Store(false)
		}
	}
}

func newDelay() prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "laurel_scheduling_delay_seconds",
		Help: "How late a goroutine of this frontend last came to run. Three times more than 0.05 in a row, and questions and watchers are sent elsewhere."})
}
