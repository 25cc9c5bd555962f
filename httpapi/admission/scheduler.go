package admission

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Raft's heartbeats are sent by goroutines. When clients have so many runnable goroutines
// that each waits long for a processor, masters are lost. So the frontend measures how
// late a goroutine runs.
const (
	monitorInterval = 20 * time.Millisecond
	// lateDelay is a third of the shortest election timeout.
	lateDelay = 50 * time.Millisecond
	// lateCount is how many delays in a row set or reset Control.late.
	lateCount = 3
)

// MonitorScheduler measures how late goroutines run, until stop is closed.
func (c *Control) MonitorScheduler(stop <-chan struct{}) {
	late, onTime := 0, 0
	for {
		start := time.Now()
		select {
		case <-stop:
			return
		case <-time.After(monitorInterval):
		}
		delay := time.Since(start) - monitorInterval
		c.delay.Set(delay.Seconds())
		if delay >= lateDelay {
			late, onTime = late+1, 0
		} else {
			late, onTime = 0, onTime+1
		}
		switch {
		case late >= lateCount:
			c.late.Store(true)
		case onTime >= lateCount:
			c.late.Store(false)
		}
	}
}

func newDelay() prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "laurel_scheduling_delay_seconds",
		Help: "How late a goroutine of this frontend ran last. After three values above 0.05 in a row, " +
			"reads that are not in memory and new watchers are refused.",
	})
}
