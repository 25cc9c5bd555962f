package standing

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config configures a Keeper.
type Config struct {
	Dir     string               // the data directory
	PutOut  *prometheus.GaugeVec // by member and reason
	Changed func()               // called after another frontend was put out or taken back
	Logger  *slog.Logger
}

// Keeper keeps the standings of the other frontends. Weigh is called by one goroutine at a
// time, all else by any.
type Keeper struct {
	Config
	standings atomic.Pointer[map[string]Standing]
}

// Open reads what must not be forgotten of an earlier process.
func Open(c Config) *Keeper {
	k := &Keeper{Config: c}
	standings, err := read(c.Dir)
	if err != nil {
		c.Logger.Warn("what is held against frontends cannot be read, and does not count", "err", err)
	}
	k.standings.Store(&standings)
	for _, s := range sorted(standings) {
		k.PutOut.WithLabelValues(s.Frontend, string(s.Reason)).Set(1)
	}
	return k
}

// Weigh decides the standings. What lasts is on the disk when it counts.
func (k *Keeper) Weigh(b Bench) {
	before := *k.standings.Load()
	after := Decide(before, b)
	news, lasting := len(before) != len(after), false
	for name, s := range after {
		if was := before[name]; was.Reason != s.Reason || !slices.Equal(was.Key, s.Key) {
			news, lasting = true, lasting || s.lasting()
		}
	}
	if !news {
		return
	}
	if lasting {
		if err := write(k.Dir, after); err != nil {
			k.Logger.Error("what is held against frontends cannot be stored", "err", err)
		}
	}
	k.standings.Store(&after)
	k.announce(before, after, b.Now)
	k.Changed()
}

// announce tells people what has changed.
func (k *Keeper) announce(before, after map[string]Standing, now time.Time) {
	for _, was := range sorted(before) {
		if s, out := after[was.Frontend]; out && s.Reason == was.Reason {
			continue
		} else if !out {
			k.Logger.Info("a frontend is taken back", "member", was.Frontend, "reason", was.Reason,
				"away", now.Sub(was.Since).Round(time.Millisecond))
		}
		k.PutOut.DeleteLabelValues(was.Frontend, string(was.Reason))
	}
	for _, s := range sorted(after) {
		if before[s.Frontend].Reason == s.Reason {
			continue
		}
		k.PutOut.WithLabelValues(s.Frontend, string(s.Reason)).Set(1)
		k.Logger.Error("a frontend is put out: it "+s.Text(), "member", s.Frontend, "reason", s.Reason,
			"round", s.Round, "for_good", s.Shunned)
	}
}

// Of returns what is held against a frontend; nil for nothing. It must not be changed.
func (k *Keeper) Of(name string) *Standing {
	if k == nil {
		return nil
	}
	if s, out := (*k.standings.Load())[name]; out {
		return &s
	}
	return nil
}

// Distrusts returns why nothing is taken that a frontend begins; nil if it is.
func (k *Keeper) Distrusts(name string) error {
	if s := k.Of(name); s != nil {
		return s
	}
	return nil
}

// Shuns returns why a frontend is not spoken with; nil if it is.
func (k *Keeper) Shuns(name string) error {
	if s := k.Of(name); s != nil && s.Shunned {
		return s
	}
	return nil
}
