package standing

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"laurel/witness"
)

// Config configures a Keeper.
type Config struct {
	Dir     string               // the data directory
	PutOut  *prometheus.GaugeVec // by member and reason
	Changed func()               // called after another frontend was put out or taken back
	Logger  *slog.Logger
}

// Keeper keeps the standings of the other frontends. Its methods may be called by any
// goroutine.
type Keeper struct {
	Config
	standings atomic.Pointer[map[string]Standing]

	weighing sync.Mutex
	evidence map[string]*evidence // by frontend
	doubt    doubt
}

// evidence is two notes against a frontend.
type evidence struct {
	notes [][]byte
	vain  []byte // the key of the frontend that they do not convict, if that was tried
}

// Open reads what must not be forgotten of an earlier process. It must be possible to start
// without: a frontend that is convicted and not known to be is still one of four.
func Open(c Config) *Keeper {
	standings, doubt, err := read(c.Dir)
	k := &Keeper{Config: c, doubt: doubt}
	if err != nil {
		c.Logger.Warn("what is held against frontends cannot be read; the evidence tells who was convicted", "err", err)
	}
	if k.evidence, err = readEvidence(c.Dir); err != nil {
		c.Logger.Warn("some of the evidence against frontends cannot be read, and does not count", "err", err)
	}
	k.standings.Store(&standings)
	for _, s := range sorted(standings) {
		k.PutOut.WithLabelValues(s.Frontend, string(s.Reason)).Set(1)
	}
	return k
}

// Weigh decides the standings. What lasts is on the disk when it counts.
func (k *Keeper) Weigh(b Bench) {
	k.weighing.Lock()
	defer k.weighing.Unlock()
	before := *k.standings.Load()
	b.Verdicts = append(k.convictions(before, &b), b.Verdicts...)
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
		for name, s := range after {
			if len(s.notes) == 2 {
				k.evidence[name] = &evidence{notes: s.notes}
			}
		}
		if err := write(k.Dir, after, k.doubt); err != nil {
			k.Logger.Error("what is held against frontends cannot be stored", "err", err)
		}
	}
	k.standings.Store(&after)
	k.announce(before, after, b.Now)
	k.Changed()
}

// Narrow notes who may have misled others this time when no quorum can agree, and returns
// those who may each time within an hour. This outlives the process.
func (k *Keeper) Narrow(suspects []string, now time.Time) []string {
	k.weighing.Lock()
	defer k.weighing.Unlock()
	both := slices.DeleteFunc(slices.Clone(suspects), func(name string) bool {
		return !slices.Contains(k.doubt.Suspects, name)
	})
	if len(both) == 0 || now.Sub(k.doubt.Since).Abs() >= distrustTime {
		both = suspects
	}
	k.doubt = doubt{now, both}
	if err := write(k.Dir, *k.standings.Load(), k.doubt); err != nil {
		k.Logger.Error("who may have misled others cannot be stored", "err", err)
	}
	k.Logger.Error("no quorum of frontends can agree on a round: somebody has misled others", "suspects", both)
	return both
}

// convictions returns the verdicts by the evidence against frontends that are not shunned:
// what was held against them was lost, or the roster was without them for some time.
func (k *Keeper) convictions(before map[string]Standing, b *Bench) (list []witness.Verdict) {
	for name, e := range k.evidence {
		key := b.Key(name)
		if was := before[name]; key == nil || slices.Equal(key, e.vain) || was.Shunned && slices.Equal(key, was.Key) {
			continue
		}
		p := &witness.Policy{Store: b.Store, Frontends: []witness.Frontend{{Name: name, Public: key}}}
		if _, err := witness.Evidence(p, e.notes[0], e.notes[1]); err != nil {
			e.vain = key
			continue
		}
		head, _, _ := witness.Signers(p, e.notes[0]) // which Evidence has read
		list = append(list, witness.Verdict{
			Frontend: name, Fault: witness.Convicted, Size: head.Size, Evidence: e.notes,
		})
	}
	return list
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
