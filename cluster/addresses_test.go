package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"laurel/cluster/status"
	"laurel/internal/address"
)

// throughRelay gives a member a peer address that is not the one on which it listens, as in a
// container with a published port.
func throughRelay(t *testing.T) func(*Options) {
	t.Helper()
	return func(o *Options) {
		relay, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { relay.Close() })
		var inner atomic.Value // string, the host:port on which the member listens
		go func() {
			for {
				c, err := relay.Accept()
				if err != nil {
					return
				}
				to, _ := inner.Load().(string)
				go pass(c, to)
			}
		}()
		o.Peer, o.PeerListen = relay.Addr().String(), loopback()
		o.hooks.listen = func(network, addr string) (net.Listener, error) {
			if addr != o.PeerListen {
				t.Errorf("the member listens on %s; want %s", addr, o.PeerListen)
			}
			l, err := net.Listen(network, addr)
			if err == nil {
				inner.Store(l.Addr().String())
			}
			return l, err
		}
	}
}

// pass copies what comes on c to and from an address until either side ends.
func pass(c net.Conn, to string) {
	defer c.Close()
	d, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer d.Close()
	go func() {
		io.Copy(d, c)
		d.Close()
	}()
	io.Copy(c, d)
}

func TestMembersReachEachOtherAtAddressesOnWhichTheyDoNotListen(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, func(o *Options) { throughRelay(t)(o) })
	mustPost(t, g.nodes[2], alerts("bard/a", 1, 3))
	g.agree(3)
	for _, n := range g.nodes {
		if at := n.member().Peer(); at != n.opts.Peer {
			t.Errorf("%s names the address %s; want %s", n.opts.ID, at, n.opts.Peer)
		}
	}
	back := g.others(g.master())[0]
	back.stop()
	back.start()
	g.settle()
	eventually(t, "the one that was away leads", func() error {
		if back.member().Master() {
			return nil
		}
		return errors.Join(g.master().member().Transfer(context.Background(), back.opts.ID), errors.New("it does not"))
	})
	mustPost(t, g.nodes[0], alerts("bard/a", 4, 3))
	g.agree(6)
}

func TestAnAddressThatOthersCannotUseIsNoPeerAddress(t *testing.T) {
	for _, c := range []struct{ peer, listen string }{
		{":9001", ""}, {"0.0.0.0:9001", ""}, {"[::]:9001", ""}, {"f1", ""}, {"f1.example:0", ":9001"}, {"", ":9001"},
	} {
		o := Options{ID: "f1", Dir: t.TempDir(), Peer: c.peer, PeerListen: c.listen, Bootstrap: true}
		if m, err := Start(o); err == nil {
			m.Close()
			t.Errorf("the peer address %q, listening on %q, is taken", c.peer, c.listen)
		}
	}
}

// Pages link to the URLs that members report, and clients send requests there.
func TestClientsAreNotToldAURLThatIsNone(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	n := g.add(func(o *Options) { o.Nonvoter = true })
	urls := []string{"javascript:alert(1)", "https://a b/", "http://0.0.0.0:1", "HTTP://F3.example:80/"}
	var reported atomic.Int64
	n.changeStatus = func(s *status.Status, _ raft.ServerID) { s.URL = urls[reported.Load()] }
	n.start()
	g.settle()
	for i, url := range urls {
		reported.Store(int64(i))
		want := ""
		if u, err := address.Parse(url); err == nil {
			want = u.String()
		}
		eventually(t, "another list", func() error {
			for _, f := range g.nodes[0].member().Frontends().Frontends {
				switch {
				case f.ID != n.opts.ID:
				case f.URL == url:
					t.Errorf("clients are told %q", url)
				case f.URL == want:
					return nil
				}
			}
			return fmt.Errorf("no frontend is at %q", want)
		})
	}
}
