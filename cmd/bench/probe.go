package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// look is one read as it came back.
type look struct {
	at      time.Time // when the answer was here
	ack               // what it shows
	way     string    // how it was answered
	refused bool      // it was no answer: the server asks to be tried again
}

// ack is what a read must show: the revision that an ack named, and the points in the contest then.
type ack struct{ revision, points uint64 }

// probe reads at one member, right after a post has been acked elsewhere. Its reads are made by a goroutine of its own.
type probe struct {
	// ask sends a read, where that can be done apart from waiting for its answer, so that the read is on its way at once; else it is nil.
	ask     func() error
	answer  func(context.Context) (look, error)
	pending chan ack
	seen    chan sighting
	end     func()
}

// sighting is the reads that one ack caused.
type sighting struct {
	first   look      // the first answer that was one
	stale   bool      // and it did not show what was acked
	visible time.Time // when an answer showed it
	refused int       // times asked to try again before
	err     error
}

func (p *probe) run(ctx context.Context) {
	p.pending, p.seen = make(chan ack, 1), make(chan sighting, 1)
	go func() {
		for want := range p.pending {
			p.seen <- p.until(ctx, want)
		}
	}()
}

func (p *probe) close() {
	close(p.pending)
	p.end()
}

// begin reads; the answer must show want.
func (p *probe) begin(want ack) error {
	p.pending <- want
	if p.ask != nil {
		return p.ask()
	}
	return nil
}

// until reads until what is wanted is seen. The first read has been asked already.
func (p *probe) until(ctx context.Context, want ack) (s sighting) {
	for again := false; ; again = true {
		if again && p.ask != nil {
			if s.err = p.ask(); s.err != nil {
				return s
			}
		}
		l, err := p.answer(ctx)
		if err != nil {
			s.err = err
			return s
		}
		if l.refused {
			s.refused++
			continue
		}
		if s.first.at.IsZero() {
			s.first, s.stale = l, l.revision < want.revision
		}
		if l.revision < want.revision {
			continue
		}
		s.visible = l.at
		if l.ack != want {
			s.err = fmt.Errorf("the answer shows %d points at the revision %d; there were %d at %d, and nothing since", l.points, l.revision, want.points, want.revision)
		}
		return s
	}
}

// scoreProbe reads the contest of p at a frontend.
func scoreProbe(ctx context.Context, addr string, p *plays) (*probe, error) {
	w, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	request := getRequest(addr, "/v1/scores/"+p.contest)
	return &probe{
		ask: func() error { _, err := w.Write(request); return err },
		answer: func(context.Context) (look, error) {
			a, err := w.answer()
			if err != nil {
				return look{}, fmt.Errorf("the answer of %s: %w", addr, err)
			}
			return lookAt(addr, a, time.Now())
		},
		end: func() { w.Close() },
	}, nil
}

// lookAt checks an answer about a contest of plays with one point each: it must be what the store had at the revision it names.
func lookAt(addr string, a answer, at time.Time) (look, error) {
	switch {
	case a.status == 503:
		return look{refused: true}, nil
	case a.status != 200:
		return look{}, fmt.Errorf("%s answered with the status %d: %s", addr, a.status, clip(a.body))
	case string(a.mode) != "push":
		return look{}, fmt.Errorf("%s answers in the mode %q; this measures the mode push", addr, a.mode)
	}
	var record struct {
		Revision    uint64 `json:"revision"`
		Competitors []struct {
			Result uint64 `json:"result"`
		} `json:"competitors"`
	}
	if err := json.Unmarshal(a.body, &record); err != nil {
		return look{}, fmt.Errorf("the answer of %s: %w: %s", addr, err, clip(a.body))
	}
	if record.Revision != a.revision {
		return look{}, fmt.Errorf("%s says it shows the revision %d, and shows %d", addr, a.revision, record.Revision)
	}
	l := look{at: at, ack: ack{revision: a.revision}, way: string(a.cache)}
	for _, c := range record.Competitors {
		l.points += c.Result
	}
	return l, nil
}

// serializableProbe reads a key at a member of etcd, from what that member has: etcd calls it serializable.
func serializableProbe(endpoint, key string) (*probe, error) {
	client, err := connect(endpoint)
	if err != nil {
		return nil, err
	}
	return &probe{
		answer: func(ctx context.Context) (look, error) {
			r, err := client.Get(ctx, key, clientv3.WithSerializable())
			if err != nil {
				return look{}, fmt.Errorf("getting %s from etcd at %s: %w", key, endpoint, err)
			}
			l := look{at: time.Now(), way: "serializable"}
			if len(r.Kvs) == 1 {
				l.revision, l.points = uint64(r.Kvs[0].ModRevision), uint64(r.Kvs[0].Version)
			}
			return l, nil
		},
		end: func() { client.Close() },
	}, nil
}
