package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"laurel/score"
)

const (
	// wrongClock is the difference at which events are refused, and slowClock one that a
	// synchronised clock does not have. The Date of an answer counts whole seconds.
	wrongClock, slowClock = 5 * time.Minute, 3 * time.Second
	// publicRenewal is how long before its end a certificate for clients is to be renewed.
	publicRenewal = 25 * day
)

// roots returns a configuration that trusts the group's authorities, beside those of this
// machine; nil without a certificate.
func (p *Subject) roots() *tls.Config {
	if p.Identity == nil {
		return nil
	}
	return p.Identity.PublicClientConfig()
}

// each calls f for all of a list at once, and returns the results in the order of the list.
func each[T any](list []T, f func(T) Result) []Result {
	results := make([]Result, len(list))
	var running sync.WaitGroup
	for i, x := range list {
		running.Go(func() { results[i] = f(x) })
	}
	running.Wait()
	return results
}

// checkPorts checks that the frontend can listen, or that it does.
func checkPorts(ctx context.Context, e *Environment, p *Subject) []Result {
	runs := false // a frontend answers at the address for clients
	if p.HTTP != "" {
		for _, scheme := range []string{"http://", "https://"} {
			if _, err := e.Probe(ctx, scheme+p.HTTP); err == nil {
				runs = true
			}
		}
	}
	var list [][2]string
	for _, port := range [][2]string{{"--http", p.HTTP}, {"--peer", p.Peer}} {
		if port[1] != "" {
			list = append(list, port)
		}
	}
	return each(list, func(port [2]string) Result {
		check, addr := "port "+port[0], port[1]
		switch err := e.Listen(addr); {
		case err == nil:
			return ok(check, "%s is free", addr)
		case errors.Is(err, syscall.EADDRINUSE) && runs:
			return ok(check, "%s is in use, and a frontend runs here", addr)
		case errors.Is(err, syscall.EADDRINUSE):
			return found(check, Fail, "stop what uses it (ss -ltnp shows it), or choose another port",
				"%s is in use by another program", addr)
		default:
			return found(check, Fail, "name an address of this machine", "cannot listen: %v", err)
		}
	})
}

// hosts returns the names in the addresses of the frontends, sorted.
func (p *Subject) hosts() []string {
	var list []string
	addPort := func(hostport string) {
		if host, _, err := net.SplitHostPort(hostport); err == nil {
			list = append(list, host)
		}
	}
	addURL := func(text string) {
		if u, err := url.Parse(text); err == nil {
			list = append(list, u.Hostname())
		}
	}
	addPort(p.HTTP)
	addPort(p.Peer)
	for _, u := range p.URLs {
		addURL(u)
	}
	if p.Group != nil {
		for _, f := range p.Group.Frontends {
			addPort(f.Peer)
			addURL(f.URL)
		}
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(host string) bool {
		_, err := netip.ParseAddr(host)
		return host == "" || err == nil
	})
}

func checkNames(ctx context.Context, e *Environment, p *Subject) Result {
	const check = "names"
	hosts := p.hosts()
	var unknown []string
	for i, r := range each(hosts, func(host string) Result {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := e.Lookup(ctx, host); err != nil {
			return Result{Status: Fail}
		}
		return Result{}
	}) {
		if r.Status == Fail {
			unknown = append(unknown, hosts[i])
		}
	}
	switch {
	case len(unknown) > 0:
		return found(check, Fail, "correct the name, DNS or /etc/hosts", "no address is known for %s",
			strings.Join(unknown, ", "))
	case len(hosts) == 0:
		return ok(check, "addresses only")
	}
	return ok(check, "%s", strings.Join(hosts, ", "))
}

func checkGroup(p *Subject) Result {
	const check = "group"
	if p.Group == nil {
		status := Warn
		if p.Named {
			status = Fail
		}
		return found(check, status,
			"start a frontend, or name one with --to; a secure group needs --ca, a private one --token",
			"no frontend at %s says who is in the group: %v", strings.Join(p.URLs, ", "), p.NoGroup)
	}
	var away, full, out []string
	for _, f := range p.Group.Frontends {
		if f.State == score.Unreachable {
			away = append(away, f.ID)
		}
		if f.NoRoom {
			full = append(full, f.ID)
		}
		if f.PutOut != nil {
			out = append(out, f.ID)
		}
	}
	switch {
	case p.Group.Master == "":
		return found(check, Fail, "bring back a majority of the voters", "there is no master")
	case len(out) > 0:
		return found(check, Fail, "laurel cluster status says why", "put out: %s", strings.Join(out, ", "))
	case len(full) > 0:
		return found(check, Fail, "make room on their disks", "without room for posts: %s", strings.Join(full, ", "))
	case len(p.Group.Versions()) > 1:
		return found(check, Warn, "update the others, too; see Upgrade in docs/operations.md",
			"the frontends run the versions %s", strings.Join(p.Group.Versions(), ", "))
	case len(away) > 0:
		return found(check, Warn, "start them again, or let them leave", "unreachable: %s", strings.Join(away, ", "))
	}
	return ok(check, "%d frontends, the master is %s, epoch %d", len(p.Group.Frontends), p.Group.Master, p.Group.Epoch)
}

// frontends returns the URLs of the frontends: those of the group or, without it, those that
// were given.
func (p *Subject) frontends() (urls []string) {
	if p.Group == nil {
		return p.URLs
	}
	for _, f := range p.Group.Frontends {
		if f.URL != "" {
			urls = append(urls, f.URL)
		}
	}
	return urls
}

// checkFrontends asks each frontend, and compares its clock with this one.
func checkFrontends(ctx context.Context, e *Environment, p *Subject) []Result {
	if p.Group == nil && !p.Named {
		return nil // checkGroup has said that there is none
	}
	return each(p.frontends(), func(url string) Result {
		const check = "frontend"
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		a, err := e.Probe(ctx, url)
		if err != nil {
			return found(check, Fail, "see whether it runs, and whether a firewall or proxy is between", "%s: %v",
				url, err)
		}
		skew := a.Date.Sub(a.Asked.Add(a.Took / 2)).Abs()
		switch {
		case a.Date.IsZero():
			return ok(check, "%s answers in %s", url, a.Took.Round(time.Millisecond/10))
		case skew >= wrongClock:
			return found(check, Fail, "set the clocks", "%s: its clock and this one differ by %s; events are refused",
				url, skew.Round(time.Second))
		case skew >= slowClock:
			return found(check, Warn, "set the clocks", "%s: its clock and this one differ by %s", url,
				skew.Round(time.Second))
		}
		if !a.Expires.IsZero() {
			r := expiry(check, e.Now(), a.Expires.Add(-publicRenewal), a.Expires, "of "+url)
			if r.Status != OK {
				return r
			}
		}
		return ok(check, "%s answers in %s, and its clock agrees", url, a.Took.Round(time.Millisecond/10))
	})
}

// checkPeers connects to the port for members of each frontend, with the certificate in the
// data directory if there is one.
func checkPeers(ctx context.Context, e *Environment, p *Subject) []Result {
	if p.Group == nil {
		return nil
	}
	return each(p.Group.Frontends, func(f score.Frontend) Result {
		check := "peer"
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		member, err := e.Dial(ctx, f.Peer, p.Identity)
		if err == nil && member != "" && !strings.HasPrefix(member, f.ID+"@") {
			err = fmt.Errorf("%s answers there", member)
		}
		switch {
		case err != nil:
			return found(check, Fail, "see whether it runs, and whether a firewall is between", "%s at %s: %v", f.ID,
				f.Peer, err)
		case member != "":
			return ok(check, "%s at %s, with a certificate of the group", f.ID, f.Peer)
		}
		return ok(check, "%s at %s accepts connections", f.ID, f.Peer)
	})
}
