package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"laurel/client"
	"laurel/score"
)

// spectator is one client. It is used by one goroutine.
type spectator interface {
	// contest reads the record number i, other something that is about many.
	contest(ctx context.Context, i int) error
	other(ctx context.Context, medals bool) error
	// elsewhere is how many reads another member answered than the one that was to be asked.
	elsewhere() int
	close()
}

// contestShare is the part of the reads that ask for one contest, as for laurel client.
const contestShare = 0.8

// readAll has n clients read in a span, and what is before it.
func (b *bench) readAll(ctx context.Context, h *house, n int, bards []writer, s span) (a attendance, err error) {
	a = newAttendance()
	meters, clients := make([]*hdrhistogram.Histogram, n), make([]spectator, n)
	running, ctx := errgroup.WithContext(ctx)
	for i := range n {
		c, err := h.client(i, bards)
		if err != nil {
			return a, errors.Join(err, running.Wait())
		}
		defer c.close()
		clients[i], meters[i] = c, newAttendance().hist
		chance := rand.New(rand.NewPCG(1, uint64(i)))
		running.Go(func() error { return watchShow(ctx, c, chance, b.readRate, s, meters[i]) })
	}
	if err := running.Wait(); err != nil {
		return a, err
	}
	for i, m := range meters {
		a.hist.Merge(m)
		a.elsewhere += clients[i].elsewhere()
	}
	a.mean = time.Duration(a.hist.Mean()) * time.Microsecond
	a.perSecond = float64(a.hist.TotalCount()) / s.until.Sub(s.from).Seconds()
	return a, nil
}

// watchShow reads at random moments until the span is over. A read that was due while the one before it was under way counts from when it was due.
func watchShow(ctx context.Context, c spectator, chance *rand.Rand, perSecond float64, s span, into *hdrhistogram.Histogram) error {
	for due := time.Now(); ; {
		due = due.Add(time.Duration(chance.ExpFloat64() / perSecond * float64(time.Second)))
		if due.After(s.until) {
			return nil
		}
		began := due
		if left := time.Until(due); left > 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(left):
			}
			began = time.Now() // Go's timers are up to a millisecond late
		}
		var err error
		if chance.Float64() < contestShare {
			err = c.contest(ctx, chance.IntN(contests))
		} else {
			err = c.other(ctx, chance.IntN(2) == 0)
		}
		if err != nil {
			return err
		}
		if due.After(s.from) {
			_ = into.RecordValue(min(max(time.Since(began).Microseconds(), 1), time.Minute.Microseconds()))
		}
	}
}

// laurelSpectator is at home at one frontend.
type laurelSpectator struct {
	client    *client.Client
	transport *http.Transport
	id        string // of the frontend
	bards     []writer
	served    string // who answered the last read
	others    int    // reads that another answered
}

func newLaurelSpectator(from *site, url, id string, bards []writer) (*laurelSpectator, error) {
	s := &laurelSpectator{transport: client.NewTransport(4), id: id, bards: bards}
	s.transport.Proxy, s.transport.DialContext = nil, from.dial
	var err error
	s.client, err = client.New([]string{url}, client.Options{Home: id, Transport: s.transport, Attempted: func(a client.Attempt) {
		if a.Path != "/v1/frontends" { // the list is asked for beside the reads, in another goroutine
			s.served = a.Frontend
		}
	}})
	return s, err
}

func (s *laurelSpectator) contest(ctx context.Context, i int) error {
	return s.get(ctx, client.ScorePath(s.bards[i].(*poster).plays.contest), nil)
}

func (s *laurelSpectator) other(ctx context.Context, medals bool) error {
	competition := score.CompetitionOf(s.bards[0].(*poster).plays.contest)
	if medals {
		return s.get(ctx, client.MedalsPath(competition, ""), nil)
	}
	return s.get(ctx, client.ScorePath(""), url.Values{"competition": {competition}, "limit": {"20"}})
}

func (s *laurelSpectator) get(ctx context.Context, path string, query url.Values) error {
	_, err := s.client.Get(ctx, path, query, client.JSON)
	if p, ok := errors.AsType[*score.Problem](err); ok && p.Code == score.NotFound && strings.HasPrefix(path, "/v1/medals/") {
		err = nil // a table that does not exist yet is an answer
	}
	if err == nil && s.served != s.id {
		s.others++
	}
	return err
}

func (s *laurelSpectator) elsewhere() int { return s.others }

func (s *laurelSpectator) close() {
	s.client.Close()
	s.transport.CloseIdleConnections()
}

// etcdSpectator asks one member, linearizable.
type etcdSpectator struct {
	client *clientv3.Client
	bards  []writer
}

func newEtcdSpectator(from *site, endpoint string, bards []writer) (*etcdSpectator, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second, DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return from.dial(ctx, "tcp", addr) })}})
	if err != nil {
		return nil, err
	}
	return &etcdSpectator{c, bards}, nil
}

func (s *etcdSpectator) contest(ctx context.Context, i int) error {
	return s.get(ctx, hotKey(s.bards[i].source()), 1)
}

// other is a list in either case: etcd counts no medals.
func (s *etcdSpectator) other(ctx context.Context, _ bool) error {
	first := s.bards[0].source()
	return s.get(ctx, first[:len(first)-len("0001")], contests, clientv3.WithPrefix(), clientv3.WithLimit(contests))
}

func (s *etcdSpectator) get(ctx context.Context, key string, most int, o ...clientv3.OpOption) error {
	r, err := s.client.Get(ctx, key, o...)
	if err == nil && len(r.Kvs) > most {
		err = fmt.Errorf("%s: %d keys; want %d", key, len(r.Kvs), most)
	}
	return err
}

func (s *etcdSpectator) elsewhere() int { return 0 }
func (s *etcdSpectator) close()         { s.client.Close() }
