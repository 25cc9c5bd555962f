package admission

import (
	"net/netip"
	"testing"

	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
)

func peerWith(addr string) *fastpath.Peer { return &fastpath.Peer{Addr: netip.MustParseAddr(addr)} }

func TestWatchersAreCountedByAddressAndNotByConnection(t *testing.T) {
	const most = 3 * WatchersPerConnection / 2
	g := New(Options{Limits: Limits{WatchersPerAddress: most}}).ClientGate()
	enter := func(p *fastpath.Peer) *Holder {
		h, problem := g.EnterWatch(&handler.Caller{Peer: p})
		if problem != nil {
			return nil
		}
		return h
	}
	a, b := peerWith("2001:db8::1"), peerWith("2001:db8::2") // of one network of 64 bits
	var holders []*Holder
	for range WatchersPerConnection {
		holders = append(holders, enter(a))
	}
	if enter(a) != nil {
		t.Error("one connection has more watchers than its limit")
	}
	for range most - WatchersPerConnection {
		holders = append(holders, enter(b))
	}
	if enter(b) != nil || enter(peerWith("2001:db8::3")) != nil {
		t.Error("one address has more watchers than its limit")
	}
	for i, h := range holders {
		if h == nil {
			t.Fatalf("watcher %d was refused", i+1)
		}
	}
	for _, exempt := range []*fastpath.Peer{nil, peerWith("127.0.0.1"), peerWith("2001:db8:0:1::1")} {
		if enter(exempt) == nil {
			t.Errorf("another address was refused")
		}
	}
	for _, h := range holders {
		h.Leave()
	}
	if enter(a) == nil {
		t.Error("after all had left, a watcher was refused")
	}
	if n := len(g.memory.addresses); n != 2 {
		t.Errorf("%d addresses are remembered; want the two that have watchers", n)
	}
}

func TestBytesOfAnswersAreBoundedByAddressAndTogether(t *testing.T) {
	c := New(Options{Limits: Limits{MaxAnswerBytes: 1_000_000, AnswerBytesPerAddress: 300_000}})
	g := c.ClientGate()
	hold := func(addr string, n int) func() {
		written, refused := g.HoldAnswer(peerWith(addr), n)
		if refused != nil {
			return nil
		}
		return written
	}
	if w, refused := g.HoldAnswer(peerWith("192.0.2.1"), FreeAnswer); w != nil || refused != nil {
		t.Error("a small answer is counted")
	}
	first := hold("192.0.2.1", 200_000)
	if first == nil || hold("192.0.2.1", 200_000) != nil {
		t.Error("an address holds more than its limit")
	}
	large := hold("192.0.2.2", 500_000)
	if large == nil {
		t.Error("a single large answer was refused")
	}
	if hold("127.0.0.1", 400_000) != nil {
		t.Error("all together hold more than the limit")
	}
	local := hold("127.0.0.1", 300_000)
	if local == nil {
		t.Fatal("an address without bounds was refused")
	}
	for _, written := range []func(){first, large, local} {
		written()
	}
	if n := c.AnswersUnderWay(); n != 0 || len(c.memory.addresses) != 0 {
		t.Errorf("%d bytes and %d addresses remain", n, len(c.memory.addresses))
	}
}
