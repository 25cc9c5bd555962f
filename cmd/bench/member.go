package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// member is one server as a client sees it that knows its address and nothing else. Both calls are one try, which ctx bounds. A member is
// used by many goroutines.
type member interface {
	// post writes an event, and returns its revision. However often an event is posted, it counts once.
	post(ctx context.Context, event []byte) (revision uint64, err error)
	// look reads what the events have changed, linearizably, and returns the revision that changed it last.
	look(ctx context.Context) (revision uint64, err error)
	close()
}

// errRefused is a final no: to try again would not help.
var errRefused = errors.New("refused")

// webMember is a frontend.
type webMember struct {
	client *http.Client
	url    string
	path   string // of the contest
}

func newWebMember(url string, p *plays) *webMember {
	dialer := &net.Dialer{Timeout: time.Second}
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 16, DisableCompression: true}
	return &webMember{&http.Client{Transport: transport}, url, "/v1/scores/" + p.contest}
}

func (m *webMember) post(ctx context.Context, event []byte) (uint64, error) {
	res, body, err := m.do(ctx, http.MethodPost, "/v1/events", event)
	switch {
	case err != nil:
		return 0, err
	case res.StatusCode == http.StatusOK && acked(body):
		return revisionOf(body)
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
		return 0, fmt.Errorf("%s: status %s: %s", m.url, res.Status, clip(body))
	}
	return 0, fmt.Errorf("%w: %s: status %s: %s", errRefused, m.url, res.Status, clip(body))
}

func (m *webMember) look(ctx context.Context) (uint64, error) {
	res, body, err := m.do(ctx, http.MethodGet, m.path, nil)
	if err != nil {
		return 0, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: status %s: %s", m.url, res.Status, clip(body))
	}
	mode, way := res.Header.Get("Laurel-Mode"), res.Header.Get("Laurel-Cache")
	if mode != "push" || way == "stale" {
		return 0, fmt.Errorf("%w: %s answers in the mode %q by %q; that is not linearizable, and was not asked for", errRefused, m.url, mode, way)
	}
	return revisionOf(body)
}

func (m *webMember) do(ctx context.Context, method, path string, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, m.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := m.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res, said, err
}

func (m *webMember) close() { m.client.CloseIdleConnections() }

// etcdMember is a member of etcd. All events are put under one key.
type etcdMember struct {
	client *clientv3.Client
	key    string
}

func newEtcdMember(endpoint, key string) (*etcdMember, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: time.Second, Logger: zap.NewNop()})
	return &etcdMember{client, key}, err
}

func (m *etcdMember) post(ctx context.Context, event []byte) (uint64, error) {
	r, err := m.client.Put(ctx, m.key, string(event))
	if err != nil {
		return 0, err
	}
	return uint64(r.Header.Revision), nil
}

func (m *etcdMember) look(ctx context.Context) (uint64, error) {
	r, err := m.client.Get(ctx, m.key)
	if err != nil {
		return 0, err
	}
	if len(r.Kvs) == 0 {
		return 0, nil
	}
	return uint64(r.Kvs[0].ModRevision), nil
}

func (m *etcdMember) close() { m.client.Close() }

// faulted is a group whose members can be killed, paused, and started again.
type faulted interface {
	system
	// open makes a client of each member, and the record that the events of p change.
	open(ctx context.Context, p *plays) ([]member, error)
	// leader is the number of the member that leads, as the members say.
	leader(ctx context.Context) (int, error)
	process(i int) *process
	restart(i int) error
	// whole tells whether all members serve again.
	whole(ctx context.Context) error
}

func (g *frontends) process(i int) *process { return g.processes[i] }

func (g *frontends) restart(i int) (err error) {
	g.processes[i], err = g.processes[i].again()
	return err
}

func (g *frontends) open(ctx context.Context, p *plays) ([]member, error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	first, err := newPoster(ctx, order[len(order)-1], p)
	if err != nil {
		return nil, err
	}
	first.close()
	var list []member
	for _, url := range g.urls {
		list = append(list, newWebMember(url, p))
	}
	return list, nil
}

func (g *frontends) leader(ctx context.Context) (int, error) {
	order, err := g.order(ctx)
	if err != nil {
		return 0, err
	}
	for i, url := range g.urls {
		if strings.TrimPrefix(url, "http://") == order[len(order)-1] {
			return i, nil
		}
	}
	return 0, fmt.Errorf("the master is at %s, which is none of %s", order[len(order)-1], g.urls)
}

func (g *frontends) whole(ctx context.Context) error {
	for _, url := range g.urls {
		if err := get(ctx, url+"/readyz", nil); err != nil {
			return err
		}
	}
	return g.allServe(ctx)
}

func (g *etcdGroup) process(i int) *process { return g.processes[i] }

func (g *etcdGroup) restart(i int) (err error) {
	g.processes[i], err = g.processes[i].again()
	return err
}

func (g *etcdGroup) open(_ context.Context, p *plays) (list []member, err error) {
	for _, e := range g.endpoints {
		m, err := newEtcdMember(e, hotKey(p.source))
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

func (g *etcdGroup) leader(ctx context.Context) (int, error) {
	order, err := g.order(ctx)
	if err != nil {
		return 0, err
	}
	for i, e := range g.endpoints {
		if e == order[len(order)-1] {
			return i, nil
		}
	}
	return 0, fmt.Errorf("the leader is none of %s", g.endpoints)
}

func (g *etcdGroup) whole(ctx context.Context) error {
	for _, e := range g.endpoints {
		if err := get(ctx, "http://"+e+"/health", nil); err != nil {
			return err
		}
	}
	_, err := g.order(ctx)
	return err
}
