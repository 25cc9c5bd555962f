package frontend

import (
	"net"
	"testing"

	"laurel/internal/address"
)

func TestAFrontendPublishesTheNameThatItListensOn(t *testing.T) {
	given := address.URL{Scheme: "https", Host: "scores.example", Path: "/live"}
	all, err := address.Of(true, "0.0.0.0:8001", MachineName())
	if err != nil {
		t.Logf("the name of this machine is of no use for others: %v", err)
	}
	for _, c := range []struct {
		http    string
		url     address.URL
		secure  bool
		bound   string // the address that the listener has
		publish string
		direct  bool
	}{
		{"127.0.0.1:0", address.URL{}, false, "127.0.0.1:8001", "http://127.0.0.1:8001", true},
		{"f1.example:0", address.URL{}, true, "192.0.2.1:8001", "https://f1.example:8001", true},
		{"127.0.0.1:0", address.URL{Scheme: "http", Host: "127.0.0.1:0"}, false, "127.0.0.1:8001", "http://127.0.0.1:8001",
			true},
		{"f1.example:8001", address.URL{Scheme: "https", Host: "f1.example:8001"}, true, "192.0.2.1:8001",
			"https://f1.example:8001", true},
		{":8001", address.URL{}, true, "[::]:8001", all.String(), true},
		{":8001", given, true, "[::]:8001", "https://scores.example/live", false},
		{"127.0.0.1:8001", given, false, "127.0.0.1:8001", "https://scores.example/live", false},
	} {
		if c.publish == "" {
			continue
		}
		addr, err := net.ResolveTCPAddr("tcp", c.bound)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{HTTP: c.http, URL: c.url}
		if err := o.setURL(c.secure, addr); err != nil {
			t.Errorf("%s: %v", c.http, err)
		}
		if o.Member.URL != c.publish || o.API.URL.String() != c.publish || o.API.Direct != c.direct {
			t.Errorf("%s, given %q: it publishes %q and %q, direct %t; want %q and %t", c.http, c.url,
				o.Member.URL, o.API.URL, o.API.Direct, c.publish, c.direct)
		}
	}
}
