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

func (g *etcdGroup) stop() {
	if g.admin != nil {
		g.admin.Close()
	}
	g.members.stop()
}

// order returns the members' endpoints, the leader last, once there is one and every member answers:
// on a busy machine they may elect another.
func (g *etcdGroup) order(ctx context.Context) (order []string, err error) {
	err = await(ctx, g.list[0], func(ctx context.Context) error {
		order, err = g.leaderLast(ctx)
		return err
	})
	return order, err
}

func (g *etcdGroup) leaderLast(ctx context.Context) ([]string, error) {
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

// writers returns n writers. Each event has a key of its own.
func (g *etcdGroup) writers(ctx context.Context, to string, n int) ([]load.Writer, error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	return openPutters(order, to, n, func(endpoint string) (put, func(), error) {
		client, err := connectEtcd(endpoint)
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context, p *load.Plays, body []byte) error {
			_, err := client.Put(ctx, fmt.Sprintf("%s/%08d", p.Source(), p.Seq()), string(body))
			return err
		}, func() { client.Close() }, nil
	})
}

// lastSeq returns the number of keys of a source.
func (g *etcdGroup) lastSeq(ctx context.Context, source string) (uint64, error) {
	r, err := g.admin.Get(ctx, source+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("count the keys of %s in etcd: %w", source, err)
	}
	return uint64(r.Count), nil
}
