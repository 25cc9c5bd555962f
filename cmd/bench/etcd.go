package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// etcdGroup is three members of etcd with their default settings, and what loads them.
type etcdGroup struct {
	processes []*process
	endpoints []string
	admin     *clientv3.Client
}

// startEtcd starts a group with new data directories under dir, and waits until it takes puts. Each is at a site of its own, or all on the loopback where
// none are given.
func startEtcd(ctx context.Context, program, dir string, sites ...*site) (g *etcdGroup, err error) {
	g = &etcdGroup{}
	started := g // an error returns none
	defer func() {
		if err != nil {
			started.stop()
		}
	}()
	ports, at, err := ground(sites)
	if err != nil {
		return nil, err
	}
	var cluster []string
	for i := range groupSize {
		g.endpoints = append(g.endpoints, ports[2*i])
		cluster = append(cluster, fmt.Sprintf("e%d=http://%s", i+1, ports[2*i+1]))
	}
	for i := range groupSize {
		name, client, peer := fmt.Sprintf("e%d", i+1), "http://"+ports[2*i], "http://"+ports[2*i+1]
		data := filepath.Join(dir, name)
		if err := os.MkdirAll(data, 0o700); err != nil {
			return nil, err
		}
		// The quota is no cost, only a limit that a long run would meet.
		p, err := at[i].start(name, dir, program, "--name", name, "--data-dir", data,
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-state", "new", "--initial-cluster-token", filepath.Base(dir),
			"--logger", "zap", "--log-level", "warn", "--quota-backend-bytes", strconv.Itoa(8<<30))
		if err != nil {
			return nil, err
		}
		g.processes = append(g.processes, p)
	}
	for i, p := range g.processes {
		if err := p.await(ctx, func(ctx context.Context) error { return get(ctx, "http://"+g.endpoints[i]+"/health", nil) }); err != nil {
			return nil, err
		}
	}
	if g.admin, err = connect(g.endpoints...); err != nil {
		return nil, err
	}
	_, err = g.order(ctx)
	return g, err
}

func connect(endpoints ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second})
}

func (g *etcdGroup) name() string { return etcdName }

func (g *etcdGroup) stop() {
	if g.admin != nil {
		g.admin.Close()
	}
	for _, p := range g.processes {
		p.kill()
	}
}

func (g *etcdGroup) cpu() (time.Duration, error) { return sumCPU(g.processes) }

// order is the members' endpoints, the leader last. Every member must answer.
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
		return nil, errors.New("no member of etcd says that it is the leader")
	}
	return append(others, leader), nil
}

// writersPerClient is how many share one client and so one connection: etcd's advice is to share, one for all is too few.
const writersPerClient = 16

func (g *etcdGroup) writers(ctx context.Context, run, to string, n int) ([]writer, error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	if to == toMaster {
		order = order[len(order)-1:]
	}
	var list []writer
	shared := make([]*clientv3.Client, len(order)) // the client that the next writers of each endpoint take
	for i := range n {
		e := i % len(order)
		own := i/len(order)%writersPerClient == 0
		if own {
			if shared[e], err = connect(order[e]); err != nil {
				closeAll(list)
				return nil, err
			}
		}
		list = append(list, &putter{client: shared[e], owner: own, plays: newPlays(run, i+1, time.Now())})
	}
	return list, nil
}

// lastSeq is how many keys there are of a source: each event is a key. Where they are all one key, it is how often that was put.
func (g *etcdGroup) lastSeq(ctx context.Context, source string) (uint64, error) {
	r, err := g.admin.Get(ctx, source+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("counting the keys of %s in etcd: %w", source, err)
	}
	if r.Count != 1 {
		return uint64(r.Count), nil
	}
	if r, err = g.admin.Get(ctx, source+"/", clientv3.WithPrefix()); err != nil || len(r.Kvs) != 1 {
		return 0, fmt.Errorf("the only key of %s in etcd: %d found, %w", source, len(r.Kvs), err)
	}
	return uint64(r.Kvs[0].Version), nil
}

// putter puts what a poster would post, each event under a key of its own.
type putter struct {
	client *clientv3.Client
	owner  bool // the one of those who share the client that closes it
	plays  *plays
	hot    string // the source whose only key takes all puts; "": each event has a key of its own
	value  []byte // is put in place of the events, if it is not nil
	before uint64 // puts of the hot key before those of this one
	body   []byte
	acked  uint64
	at     uint64 // the revision of the put acked last
}

func (p *putter) write(ctx context.Context) error {
	body := p.value
	if body == nil {
		p.body = p.plays.append(p.body[:0])
		body = p.body
	} else {
		p.plays.seq++
	}
	key := hotKey(p.hot)
	if p.hot == "" {
		key = fmt.Sprintf("%s/%08d", p.plays.source, p.plays.seq)
	}
	r, err := p.client.Put(ctx, key, string(body))
	if err != nil {
		return fmt.Errorf("putting the event %d of %s into etcd: %w", p.plays.seq, p.plays.source, err)
	}
	p.acked, p.at = p.plays.seq, uint64(r.Header.Revision)
	return nil
}

func hotKey(source string) string { return source + "/hot" }

func (p *putter) source() string {
	if p.hot != "" {
		return p.hot
	}
	return p.plays.source
}

func (p *putter) lastSeq() uint64 { return p.before + p.acked }
func (p *putter) retries() int    { return 0 }

func (p *putter) close() {
	if p.owner {
		p.client.Close()
	}
}
