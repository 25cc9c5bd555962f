package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"laurel/cmd/bench/load"
)

// etcdGroup is three members of etcd with their default settings.
type etcdGroup struct {
	members
	endpoints []string
	admin     *clientv3.Client
}

// startEtcd starts a group with new data directories and waits until it takes puts.
func startEtcd(ctx context.Context, program, dir string) (*etcdGroup, error) {
	g := &etcdGroup{members: members{program: program, dir: dir}}
	if err := g.start(ctx); err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

func (g *etcdGroup) start(ctx context.Context) error {
	if err := lookPath("etcd-server", g.program); err != nil {
		return err
	}
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return err
	}
	ports, err := freePorts(2 * groupSize)
	if err != nil {
		return err
	}
	var cluster []string
	for i := range groupSize {
		g.endpoints = append(g.endpoints, ports[2*i])
		cluster = append(cluster, fmt.Sprintf("e%d=http://%s", i+1, ports[2*i+1]))
	}
	for i := range groupSize {
		name, client, peer := fmt.Sprintf("e%d", i+1), "http://"+ports[2*i], "http://"+ports[2*i+1]
		// The quota costs nothing; a long run would meet the default one.
		_, err := g.add(name, []string{
			"--name", name, "--data-dir", filepath.Join(g.dir, name),
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-state", "new",
			"--logger", "zap", "--log-level", "warn", "--quota-backend-bytes", strconv.Itoa(8 << 30),
		})
		if err != nil {
			return err
		}
	}
	for i, p := range g.list {
		url := "http://" + g.endpoints[i] + "/health"
		if err := await(ctx, p, func(ctx context.Context) error { return getJSON(ctx, url, nil) }); err != nil {
			return err
		}
	}
	if g.admin, err = connectEtcd(g.endpoints...); err != nil {
		return err
	}
	_, err = g.order(ctx)
	return err
}

func connectEtcd(endpoints ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
}

func (g *etcdGroup) name() string { return etcdName }

func (g *etcdGroup) stop() {
	if g.admin != nil {
		g.admin.Close()
	}
	g.members.stop()
}

// order returns the members' endpoints, the leader last. Every member must answer.
func (g *etcdGroup) order(ctx context.Context) ([]string, error) {
	var others []string
	leader := ""
	for _, e := range g.endpoints {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		s, err := g.admin.Status(ctx, e)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("etcd at %s: %w", e, err)
		}
		if s.Leader == s.Header.MemberId {
			leader = e
		} else {
			others = append(others, e)
		}
	}
	if leader == "" {
		return nil, errors.New("no member of etcd is the leader")
	}
	return append(others, leader), nil
}

func (g *etcdGroup) leader(ctx context.Context) (int, error) {
	order, err := g.order(ctx)
	if err != nil {
		return 0, err
	}
	return slices.Index(g.endpoints, order[len(order)-1]), nil
}

func (g *etcdGroup) allServe(ctx context.Context) error {
	for _, e := range g.endpoints {
		if err := getJSON(ctx, "http://"+e+"/health", nil); err != nil {
			return err
		}
	}
	_, err := g.order(ctx)
	return err
}

func (g *etcdGroup) writers(ctx context.Context, to string, n int) ([]load.Writer, error) {
	return g.putters(ctx, to, n, nil)
}

// putters returns n writers. With a hot key all of them put its value; else each event
// has a key of its own.
func (g *etcdGroup) putters(ctx context.Context, to string, n int, hot *hotKey) ([]load.Writer, error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	list, err := openPutters(order, to, n, func(endpoint string) (put, func(), error) {
		client, err := connectEtcd(endpoint)
		if err != nil {
			return nil, nil, err
		}
		put := func(ctx context.Context, p *load.Plays, body []byte) error {
			key := fmt.Sprintf("%s/%08d", p.Source(), p.Seq())
			if hot != nil {
				key, body = hot.name(), hot.value
			}
			_, err := client.Put(ctx, key, string(body))
			return err
		}
		return put, func() { client.Close() }, nil
	})
	if err != nil || hot == nil {
		return list, err
	}
	for _, w := range list {
		w.(*putter).source = hot.source
	}
	list[0].(*putter).acked, err = g.lastSeq(ctx, hot.source)
	return list, err
}

// lastSeq returns the number of keys of a source. Where all events are puts of one key,
// it returns the number of puts.
func (g *etcdGroup) lastSeq(ctx context.Context, source string) (uint64, error) {
	r, err := g.admin.Get(ctx, source+"/", clientv3.WithPrefix(), clientv3.WithLimit(2))
	if err != nil {
		return 0, fmt.Errorf("count the keys of %s in etcd: %w", source, err)
	}
	if r.Count == 1 && string(r.Kvs[0].Key) == (&hotKey{source: source}).name() {
		return uint64(r.Kvs[0].Version), nil
	}
	return uint64(r.Count), nil
}

// hotKey is one key that many writers put. Its version counts the puts.
type hotKey struct {
	source string
	value  []byte
}

func (h *hotKey) name() string { return h.source + "/hot" }
