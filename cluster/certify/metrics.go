package certify

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"laurel/witness"
)

// metrics are what a certifier counts.
type metrics struct {
	refused *prometheus.CounterVec
}

func (c *Certifier) register() {
	register := promauto.With(c.Metrics)
	c.metrics.refused = register.NewCounterVec(prometheus.CounterOpts{
		Name: "laurel_notes_refused_total",
		Help: "Messages of a frontend about rounds that were malformed or not signed as they should be, by member.",
	}, []string{"member"})
	gauge := func(name, help string, labels prometheus.Labels, f func() float64) {
		register.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, f)
	}
	gauge("laurel_certified_round", "The newest certified round of this frontend; 0 without one.", nil,
		func() float64 { round, _ := c.Newest(); return float64(round) })
	gauge("laurel_certified_age_seconds",
		"How long ago a quorum has signed that the newest certified round is the newest; -1 without one.", nil,
		func() float64 {
			round, at := c.Newest()
			if round == 0 {
				return -1
			}
			return time.Since(at).Seconds()
		})
	gauge("laurel_compared_round",
		"The newest round at which a quorum of frontends had the same digest of their whole states; 0 without one.",
		nil,
		func() float64 { return float64(c.compared.Load()) })
	for _, fault := range []witness.Fault{
		witness.Convicted, witness.Diverged, witness.Altered, witness.Silent, witness.Forgot, witness.Split,
	} {
		gauge("laurel_verdicts", "Verdicts that stand against frontends of a sworn group, by fault.",
			prometheus.Labels{"fault": string(fault)}, func() float64 {
				n := 0
				for _, v := range c.Verdicts() {
					if v.Fault == fault {
						n++
					}
				}
				return float64(n)
			})
	}
}
