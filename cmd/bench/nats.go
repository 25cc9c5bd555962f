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

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"laurel/cmd/bench/load"
	"laurel/internal/localgroup"
)

const (
	natsServe  = "nats-server"
	natsStream = "events"
)

// natsSettings sync the log of the stream, as the others sync theirs, before an event is
// acknowledged.
const natsSettings = `server_name: %[1]s
listen: %[2]s
jetstream { store_dir: %[3]s/%[1]s, sync_interval: always }
cluster { name: bench, listen: %[4]s, routes: [nats://%[5]s] }
`

// natsGroup is three servers of NATS with JetStream and one stream, in files with three
// replicas. Each server is this program with the subcommand natsServe.
type natsGroup struct {
	members
	urls  []string
	admin *nats.Conn
	js    jetstream.JetStream
}

// startNATS starts a group with new data directories and waits until it takes messages.
func startNATS(ctx context.Context, dir string) (*natsGroup, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	g := &natsGroup{members: members{program: program, dir: dir}}
	if err := g.start(ctx); err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

func (g *natsGroup) start(ctx context.Context) error {
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return err
	}
	ports, err := freePorts(2 * groupSize)
	if err != nil {
		return err
	}
	clients, routes := ports[:groupSize], ports[groupSize:]
	for i, addr := range clients {
		name := "n" + strconv.Itoa(i+1)
		file := filepath.Join(g.dir, name+".conf")
		settings := fmt.Appendf(nil, natsSettings, name, addr, g.dir, routes[i], strings.Join(routes, ", nats://"))
		if err := os.WriteFile(file, settings, 0o600); err != nil {
			return err
		}
		if _, err := g.add(name, []string{natsServe, file}); err != nil {
			return err
		}
		g.urls = append(g.urls, "nats://"+addr)
	}
	return await(ctx, g.list[0], g.makeStream)
}

// makeStream makes the stream as soon as the servers can, and waits until all of its
// replicas are there.
func (g *natsGroup) makeStream(ctx context.Context) (err error) {
	if g.js == nil {
		if g.admin, err = nats.Connect(g.urls[0]); err != nil {
			return err
		}
		if g.js, err = jetstream.New(g.admin); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	stream, err := g.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: natsStream, Subjects: []string{natsStream + ".>"}, Storage: jetstream.FileStorage, Replicas: groupSize,
	})
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != groupSize-1 {
		return errors.New("the stream of NATS has no leader, or not all replicas")
	}
	for _, r := range info.Cluster.Replicas {
		if r.Offline || !r.Current {
			return fmt.Errorf("the replica %s of NATS is not there yet", r.Name)
		}
	}
	return nil
}

func (g *natsGroup) stop() {
	if g.admin != nil {
		g.admin.Close()
	}
	g.members.stop()
}

// order returns the servers' addresses, the leader of the stream last.
func (g *natsGroup) order(ctx context.Context) ([]string, error) {
	info, err := g.info(ctx)
	if err != nil {
		return nil, err
	}
	leader := slices.IndexFunc(g.list, func(p *localgroup.Process) bool { return p.Name == info.Cluster.Leader })
	if leader < 0 {
		return nil, errors.New("the stream of NATS has no leader")
	}
	return append(slices.Delete(slices.Clone(g.urls), leader, leader+1), g.urls[leader]), nil
}

func (g *natsGroup) info(ctx context.Context, options ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	s, err := g.js.Stream(ctx, natsStream)
	if err != nil {
		return nil, fmt.Errorf("the stream of NATS: %w", err)
	}
	info, err := s.Info(ctx, options...)
	if err == nil && info.Cluster == nil {
		err = errors.New("the stream of NATS has no replicas")
	}
	return info, err
}

func (g *natsGroup) writers(ctx context.Context, to string, n int) ([]load.Writer, error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	return openPutters(order, to, n, func(url string) (put, func(), error) {
		conn, err := nats.Connect(url)
		if err != nil {
			return nil, nil, err
		}
		js, err := jetstream.New(conn)
		return func(ctx context.Context, p *load.Plays, body []byte) error {
			_, err := js.Publish(ctx, natsStream+"."+p.Source(), body)
			return err
		}, conn.Close, err
	})
}

// lastSeq returns the number of messages of a source.
func (g *natsGroup) lastSeq(ctx context.Context, source string) (uint64, error) {
	subject := natsStream + "." + source
	info, err := g.info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return 0, fmt.Errorf("count the messages of %s in NATS: %w", source, err)
	}
	return info.State.Subjects[subject], nil
}

// natsServerCommand is one server, which the bench starts.
func natsServerCommand(*bench) *cobra.Command {
	c := &cobra.Command{Use: natsServe + " FILE", Hidden: true, Args: cobra.ExactArgs(1)}
	c.RunE = func(c *cobra.Command, args []string) error {
		o, err := natsserver.ProcessConfigFile(args[0])
		if err != nil {
			return err
		}
		o.NoSigs = true
		s, err := natsserver.NewServer(o)
		if err != nil {
			return err
		}
		s.ConfigureLogger()
		s.Start()
		<-c.Context().Done()
		s.Shutdown()
		return nil
	}
	return c
}
