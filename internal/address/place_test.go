package address

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
)

// records is a resolver that knows these names.
type records struct {
	hosts map[string][]string
	srv   map[string][]*net.SRV
}

var errUnknownName = errors.New("no such host")

func (r records) LookupHost(_ context.Context, host string) ([]string, error) {
	if list := r.hosts[host]; list != nil {
		return list, nil
	}
	return nil, errUnknownName
}

func (r records) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if list := r.srv[name]; list != nil && service == "" && proto == "" {
		return name, list, nil
	}
	return "", nil, errUnknownName
}

func TestAPlaceIsAURLOrANameInDNS(t *testing.T) {
	for text, want := range map[string]string{
		"https://F1.example:8001/":              "https://f1.example:8001",
		"dns:laurel-peers:8001":                 "dns:laurel-peers:8001",
		"dns:peers.laurel.svc.example.:8001":    "dns:peers.laurel.svc.example.:8001",
		"dns+srv:_https._tcp.laurel.example":    "dns+srv:_https._tcp.laurel.example",
		"dns:laurel-peers":                      "",
		"dns:laurel-peers:0":                    "",
		"dns::8001":                             "",
		"dns:laurel-peers:https":                "",
		"dns:a b:1":                             "",
		"dns+srv:laurel.example":                "",
		"dns+srv:_https.tcp.laurel.example":     "",
		"dns+srv:_https._tcp":                   "",
		"dns+srv:_https._tcp.laurel.example:80": "",
		"dnssrv:laurel":                         "",
		"laurel-peers:8001":                     "",
		"dns+srv:":                              "",
		"dns:":                                  "",
	} {
		p, err := ParsePlace(text)
		if err == nil && p.String() != want || err != nil && want != "" {
			t.Errorf("%q is %q, %v; want %q", text, p, err, want)
		}
	}
}

func TestURLsAreThoseOfAllPlacesThatDNSKnowsNow(t *testing.T) {
	places, err := ParsePlaces([]string{
		"https://f1.example:8001", "dns:peers:8001", "dns:gone:8001", "dns+srv:_https._tcp.laurel", "dns:again:8001",
	})
	if err != nil {
		t.Fatal(err)
	}
	r := records{
		hosts: map[string][]string{"peers": {"10.0.0.2", "2001:db8::2", "10.0.0.1"}, "again": {"10.0.0.1"}},
		srv: map[string][]*net.SRV{"_https._tcp.laurel": {
			{Target: "f2.laurel.", Port: 8443}, {Target: "f1.laurel.", Port: 8001}, {Target: "..", Port: 1},
		}},
	}
	urls, err := URLs(t.Context(), r, places)
	want := []string{
		"https://f1.example:8001", "http://10.0.0.1:8001", "http://10.0.0.2:8001", "http://[2001:db8::2]:8001",
		"http://f1.laurel:8001", "http://f2.laurel:8443",
	}
	if !slices.Equal(urls, want) {
		t.Errorf("got %q; want %q", urls, want)
	}
	if err == nil || !strings.Contains(err.Error(), "dns:gone:8001") || !errors.Is(err, errUnknownName) ||
		strings.Contains(err.Error(), "peers") {
		t.Errorf("the error is %v", err)
	}
}

func TestFewAddressesOfANameAreTaken(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, net.IPv4(10, 0, byte(i>>8), byte(i)).String())
	}
	places, _ := ParsePlaces([]string{"dns:many:1"})
	urls, err := URLs(t.Context(), records{hosts: map[string][]string{"many": many}}, places)
	if len(urls) != maxFound || err != nil {
		t.Errorf("%d of 1000 addresses are taken, %v; want %d", len(urls), err, maxFound)
	}
}
