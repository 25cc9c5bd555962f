package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cluster"
	"laurel/internal/address"
	"laurel/internal/cli"
	"laurel/internal/frontend"
	"laurel/score"
	"laurel/trust/pki"
)

const (
	// foundWait is how long a frontend with --bootstrap and --join looks for a frontend
	// to join before it makes a new group. It is long, because a second group beside one
	// that is only slow is worse than a slow first start.
	foundWait  = 10 * time.Second
	foundPause = 250 * time.Millisecond
	// slowAnswer is how long a frontend that accepts a connection may take to answer that
	// it has no group. One that is slower counts as one that has.
	slowAnswer = 2 * time.Second
	// maxFrontends bounds the answer, in bytes.
	maxFrontends = 1 << 20
)

// chooseGroup decides between --bootstrap and --join for a frontend that has both. With
// data it does neither. Without data it joins if any frontend accepts a connection at an
// address to join, however slowly it answers then, unless that one has no group either.
// It makes a new group if there is no such frontend for foundWait.
//
// Frontends with the same flags that start at once must not each make a group. So the
// addresses to join must have this frontend's own, and only the first of them makes one.
func (f *frontendFlags) chooseGroup(ctx context.Context, wait time.Duration) error {
	o := &f.Member
	if !o.Bootstrap {
		return nil
	}
	if has, err := cluster.HasData(o.Dir); err != nil {
		return err
	} else if has {
		o.Logger.Info("--bootstrap does nothing: the data directory has a member already", "data", o.Dir)
		return nil
	}
	if len(o.Join) == 0 {
		return nil
	}
	var others []string
	own, position := f.ownAddresses(), -1
	for i, u := range o.Join {
		at, _ := address.Parse(u) // check has checked it
		if slices.Contains(own, at.HostPort()) {
			position = i
			continue
		}
		others = append(others, u)
	}
	if position < 0 {
		return cli.Usagef("--join does not name this frontend, at %s: with --bootstrap, name all frontends "+
			"in the same order at each, or each may make a group of its own", cmp.Or(f.URL.String(), f.HTTP))
	}
	founds, err := f.mayFound()
	if err != nil {
		return err
	}
	if founds && position == 0 && !anybodyAt(ctx, others, wait) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		o.Logger.Info("no frontend answers at the addresses to join, so this one makes a new group", "join", o.Join)
		o.Join = nil
		return nil
	}
	o.Logger.Info("--bootstrap does nothing: this frontend joins the group of the others", "join", o.Join)
	o.Bootstrap = false
	return nil
}

// ownAddresses lists the host:ports by which --join may name this frontend: that of its
// URL, and the one on which it listens. If that is every address, the host is the one by
// which other members reach it, or the name of the machine.
func (f *frontendFlags) ownAddresses() []string {
	own := []string{f.URL.HostPort()}
	for _, host := range []string{address.Hostname(f.Member.Peer), frontend.MachineName()} {
		if u, err := address.Of(!f.insecure, f.HTTP, host); err == nil {
			own = append(own, u.HostPort())
		}
	}
	return own
}

// mayFound reports whether a frontend without data can make a group: one that has a
// certificate of a group that it wanted to join cannot.
func (f *frontendFlags) mayFound() (bool, error) {
	if f.insecure {
		return true, nil
	}
	member, err := cluster.ServerID(f.Member.Dir, f.Member.ID)
	if err != nil {
		return false, err
	}
	i, err := pki.Open(pki.Options{Dir: filepath.Join(f.Member.Dir, trustDir), Member: member, Hosts: f.hosts()})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	}
	return i.Authority(i.IssuedBy()) != nil, nil
}

// anybodyAt reports whether a frontend at one of the URLs may have a group, within wait.
func anybodyAt(ctx context.Context, urls []string, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var asking sync.WaitGroup
	found := make(chan struct{}, len(urls))
	for _, u := range urls {
		asking.Go(func() {
			for ctx.Err() == nil {
				if mayHaveGroup(ctx, u) {
					found <- struct{}{}
					cancel()
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(foundPause):
				}
			}
		})
	}
	asking.Wait()
	return len(found) > 0
}

// mayHaveGroup reports whether somebody accepts a connection at a URL, and does not
// answer that it has no group. Whoever answers is not authenticated: the group to join
// does that.
func mayHaveGroup(ctx context.Context, u string) bool {
	at, err := address.Parse(u)
	if err != nil {
		return false
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", at.HostPort())
	if err != nil {
		return false
	}
	c.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), slowAnswer)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String()+"/v1/frontends", nil)
	if err != nil {
		return true
	}
	r.Close = true
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	a, err := transport.RoundTrip(r)
	if err != nil {
		return true
	}
	defer a.Body.Close()
	var group score.Frontends
	err = json.UnmarshalRead(io.LimitReader(a.Body, maxFrontends), &group)
	return err != nil || a.StatusCode != http.StatusOK || len(group.Frontends) > 0
}
