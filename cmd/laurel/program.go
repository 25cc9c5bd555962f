package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"laurel/cache"
	"laurel/cluster"
	"laurel/cluster/peer"
	"laurel/fsm"
	"laurel/httpapi"
	"laurel/httpapi/front"
)

// frontend is a whole frontend: a member of the group, and the HTTP port that speaks for it.
type frontend struct {
	member *cluster.Member
	server *front.Server
	api    *httpapi.API
	served chan error
	url    string
	log    *slog.Logger
}

// startFrontend wires a frontend and starts it. Addr is the HTTP port's; with port 0 the system chooses one. o.URL is derived from it where it is empty.
// Public is how much of what is shown to whom.
func startFrontend(addr string, o cluster.Options, t *trusting, public httpapi.Options) (*frontend, error) {
	var started atomic.Pointer[cluster.Member]
	removed := func(member string) bool {
		m := started.Load()
		return m != nil && m.Removed(member)
	}
	var err error
	if public.TLS, err = t.serves(o.Identity, removed, o.Logger); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	if o.URL == "" {
		o.URL = "http://" + listener.Addr().String()
		if o.Identity != nil {
			o.URL = "https://" + listener.Addr().String()
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	o.Metrics = registry
	member, err := cluster.Start(o)
	if err != nil {
		listener.Close()
		return nil, err
	}
	started.Store(member)
	public.Secure, public.Logger, public.Registerer, public.Gatherer = o.Identity != nil, o.Logger, registry, registry
	public.Verifier = member.Verifier()
	api := httpapi.New(group{member}, public)
	member.ServeForwarded(byMember(api.ForwardedHandler()), questions(api))
	f := &frontend{member: member, api: api, server: api.Front(), served: make(chan error, 1), url: o.URL, log: o.Logger}
	go func() { f.served <- f.server.Serve(api.Limited(listener)) }()
	return f, nil
}

// byMember says by whose connection a request came where a member asks for itself, and not for a caller of its own.
func byMember(h http.Handler) http.Handler {
	const caller = "Laurel-Caller" // of httpapi
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if by := peer.FromContext(r.Context()); by != "" && r.Header.Get(caller) == "" {
			r.Header.Set(caller, by)
		}
		h.ServeHTTP(w, r)
	})
}

// group is a member as httpapi knows it.
type group struct{ *cluster.Member }

// Answer narrows the view to what httpapi asks for.
func (g group) Answer(ctx context.Context, key, tag string, ask httpapi.Ask) (*cache.Entry, string, error) {
	return g.Member.Answer(ctx, key, tag, narrow(ask))
}

// Stale narrows the view, too.
func (g group) Stale(f func(httpapi.Records) error) (age time.Duration, known bool, err error) {
	return g.Member.Stale(func(v *fsm.View) error { return f(v) })
}

func narrow(ask httpapi.Ask) cluster.Ask {
	return func(v *fsm.View) ([]byte, uint64, error) { return ask(v) }
}

// questions are what the members poll each other for.
func questions(api *httpapi.API) cluster.Questions {
	return func(key string) (cluster.Question, error) {
		q, err := api.Question(key)
		switch {
		case err != nil:
			return cluster.Question{}, err
		case q.Board != nil:
			return cluster.Question{Board: (*cluster.BoardQuestion)(q.Board)}, nil
		}
		return cluster.Question{Ask: narrow(q.Ask)}, nil
	}
}

const (
	readyPoll = 20 * time.Millisecond
	// closeLimit bounds the handing over of leadership and the last answers when a frontend is told to stop.
	closeLimit = 5 * time.Second
)

// run serves until ctx ends, which is orderly, or the frontend cannot go on, which is the error.
func (f *frontend) run(ctx context.Context) error {
	go f.tellReady(ctx)
	select {
	case <-ctx.Done():
		f.log.Info("stopping: handing over and closing")
		return f.close()
	case err := <-f.member.Ended():
		// The storage may hang, so nothing waits for it: what matters is on the disks already.
		f.server.Close()
		if errors.Is(err, cluster.ErrRemoved) {
			return errors.Join(err, f.close())
		}
		return err
	case err := <-f.served:
		return errors.Join(fmt.Errorf("serve clients: %w", err), f.close())
	}
}

// tellReady logs once when linearizable reads can be answered.
func (f *frontend) tellReady(ctx context.Context) {
	for f.member.Ready(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(readyPoll):
		}
	}
	f.log.Info("frontend is ready", "url", f.url, "peer", f.member.Peer())
}

func (f *frontend) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	// Leadership goes first: posts that are under way here then end at the next master.
	f.member.HandOver(ctx)
	f.api.Close()
	err := f.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = f.server.Close()
	}
	return errors.Join(err, f.member.Close())
}
