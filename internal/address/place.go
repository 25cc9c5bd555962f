package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// lookupTimeout bounds one question to DNS.
	lookupTimeout = 5 * time.Second
	// maxFound bounds the addresses that are taken of one name.
	maxFound = 64
)

// Prefixes of places that are names in DNS.
const (
	hostsPrefix   = "dns:"
	servicePrefix = "dns+srv:"
)

// Place is where frontends are found: the URL of one, or a name in DNS of any number. The
// addresses of a name may change, so URLs looks it up each time.
type Place struct {
	url  URL    // the zero URL for a name
	name string // in DNS
	port string // of the frontends at the addresses of the name; "" for a name of SRV records
}

// ParsePlace parses a URL as Parse does, dns:NAME:PORT for the addresses (A and AAAA) of a
// name, or dns+srv:NAME for its SRV records, such as dns+srv:_https._tcp.laurel.example.
func ParsePlace(text string) (Place, error) {
	if name, ok := strings.CutPrefix(text, servicePrefix); ok {
		labels := strings.SplitN(name, ".", 3)
		if len(labels) < 3 || !strings.HasPrefix(labels[0], "_") || !strings.HasPrefix(labels[1], "_") ||
			CheckHost(strings.TrimSuffix(name, ".")) != nil {
			return Place{}, fmt.Errorf("%.80q is not a name of SRV records; "+
				"want one such as %s_https._tcp.laurel.example", text, servicePrefix)
		}
		return Place{name: name}, nil
	}
	rest, ok := strings.CutPrefix(text, hostsPrefix)
	if !ok {
		u, err := Parse(text)
		return Place{url: u}, err
	}
	name, port, err := net.SplitHostPort(rest)
	if err == nil {
		err = CheckHost(strings.TrimSuffix(name, "."))
	}
	if n, e := strconv.ParseUint(port, 10, 16); err == nil && (e != nil || n == 0) {
		err = fmt.Errorf("the port %.20q is not one of 1 to 65535", port)
	}
	if err != nil {
		return Place{}, fmt.Errorf("%.80q is not a name in DNS with a port: %w; want one such as %slaurel-peers:8001",
			text, err, hostsPrefix)
	}
	return Place{name: name, port: port}, nil
}

// ParsePlaces parses a list of places.
func ParsePlaces(list []string) (places []Place, err error) {
	for _, text := range list {
		p, err := ParsePlace(text)
		if err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	return places, nil
}

// String returns the text of the place.
func (p Place) String() string {
	switch {
	case p.name == "":
		return p.url.String()
	case p.port == "":
		return servicePrefix + p.name
	}
	return hostsPrefix + net.JoinHostPort(p.name, p.port)
}

// IsName reports whether the place is a name in DNS.
func (p Place) IsName() bool { return p.name != "" }

// Resolver asks DNS. The type net.Resolver is one.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// URLs returns where frontends are now, each URL once, those of the first place first. A
// frontend at an address from DNS is reached by http, and by https at the same port. The
// error names the places that could not be found; the URLs of the others are right.
func URLs(ctx context.Context, r Resolver, places []Place) (urls []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, failed := make([][]string, len(places)), make([]error, len(places))
	var asking sync.WaitGroup
	for i, p := range places {
		asking.Go(func() {
			var err error
			if found[i], err = p.urls(ctx, r); err != nil {
				failed[i] = fmt.Errorf("look up %s: %w", p, err)
			}
		})
	}
	asking.Wait()
	for _, list := range found {
		for _, u := range list {
			if !slices.Contains(urls, u) {
				urls = append(urls, u)
			}
		}
	}
	return urls, errors.Join(failed...)
}

func (p Place) urls(ctx context.Context, r Resolver) (urls []string, err error) {
	var found []string // host:port
	switch {
	case p.name == "":
		return []string{p.url.String()}, nil
	case p.port == "":
		_, records, err := r.LookupSRV(ctx, "", "", p.name)
		if err != nil {
			return nil, err
		}
		for _, s := range records {
			found = append(found, net.JoinHostPort(strings.TrimSuffix(s.Target, "."), strconv.Itoa(int(s.Port))))
		}
	default:
		hosts, err := r.LookupHost(ctx, p.name)
		if err != nil {
			return nil, err
		}
		for _, h := range hosts {
			found = append(found, net.JoinHostPort(h, p.port))
		}
	}
	slices.Sort(found)
	for _, at := range found[:min(len(found), maxFound)] {
		if u, err := Parse("http://" + at); err == nil {
			urls = append(urls, u.String())
		}
	}
	return urls, nil
}
