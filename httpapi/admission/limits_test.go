package admission

import (
	"net/netip"
	"testing"

	"laurel/httpapi/fastpath"
)

func TestBudgetsAreKeptForALimitedNumberOfKeys(t *testing.T) {
	var b budgets[int, int]
	fresh := func() *int { return new(int) }
	used := b.of(-1, 1000, fresh)
	for i := range 3000 {
		b.of(i, 1000, fresh)
		if b.of(-1, 1000, fresh) != used {
			t.Fatalf("a budget in use was dropped after %d others", i+1)
		}
		if n := len(b.recent) + len(b.older); n > 1000 {
			t.Fatalf("%d budgets are kept; want at most 1000", n)
		}
	}
}

func TestTheClientIsTheLastAddressThatIsNoProxys(t *testing.T) {
	l := Limits{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:1::/48")}}
	const proxy = "192.0.2.9"
	for _, one := range []struct{ peer, list, want string }{
		{proxy, "198.51.100.7", "198.51.100.7"},
		{proxy, "  198.51.100.7 ", "198.51.100.7"},
		{proxy, "203.0.113.1,198.51.100.7", "198.51.100.7"},
		{proxy, "203.0.113.1, 198.51.100.7, 192.0.2.8", "198.51.100.7"},
		{proxy, "198.51.100.7, 2001:db8:1::5, 192.0.2.8:80", "198.51.100.7"},
		{"2001:db8:1::1", "198.51.100.7", "198.51.100.7"},
		{proxy, "::ffff:198.51.100.7", "198.51.100.7"},
		{proxy, "198.51.100.7:4711", "198.51.100.7"},
		{proxy, "[2001:db8::7]:4711", "2001:db8::7"},
		{proxy, "[2001:db8::7]", "2001:db8::7"},
		{proxy, "127.0.0.1", "127.0.0.1"},
		{proxy, "192.0.2.8", "192.0.2.8"}, // a proxy asks for itself
		{proxy, "192.0.2.7, 192.0.2.8", "192.0.2.7"},
		{proxy, "198.51.100.7, unknown", proxy}, // who it is cannot be told
		{proxy, "198.51.100.7, unknown, 192.0.2.8", "192.0.2.8"},
		{proxy, "198.51.100.7,", proxy},
		{proxy, ",", proxy},
		{proxy, "unix:", proxy},
		{"198.51.100.9", "198.51.100.7", "198.51.100.9"}, // no proxy
		{"127.0.0.1", "198.51.100.7", "127.0.0.1"},       // not named
	} {
		got := l.Client(&fastpath.Peer{Addr: netip.MustParseAddr(one.peer)}, one.list, "https").Addr
		if got != netip.MustParseAddr(one.want) {
			t.Errorf("%s reports %q: the client is %v; want %s", one.peer, one.list, got, one.want)
		}
	}
}

func FuzzOnlyATrustedProxyIsBelieved(f *testing.F) {
	f.Add("192.0.2.9", "198.51.100.7, 192.0.2.8", "https")
	f.Add("127.0.0.1", "127.0.0.1", "http")
	f.Fuzz(func(t *testing.T, from, list, proto string) {
		l := Limits{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
		addr, err := netip.ParseAddr(from)
		if err != nil {
			return
		}
		peer := &fastpath.Peer{Addr: addr}
		got := l.Client(peer, list, proto)
		switch {
		case !l.isProxy(addr) && got != peer:
			t.Errorf("%v is believed: %+v", addr, got)
		case got != peer && (got.Near() || !got.Proxied()):
			t.Errorf("a client behind a proxy is taken for one of this machine: %+v", got)
		}
	})
}
