package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"laurel/cluster"
	"laurel/internal/cli"
	"laurel/trust/pki"
)

const (
	// foundWait is how long a frontend with --bootstrap and --join looks for a frontend
	// to join before it makes a new group. It is long, because a second group beside one
	// that is only slow is worse than a slow first start.
	foundWait  = 10 * time.Second
	foundPause = 250 * time.Millisecond
)

// chooseGroup decides between --bootstrap and --join for a frontend that has both. With
// data it does neither. Without data it joins if any frontend accepts a connection at an
// address to join, however slowly it answers then, and makes a new group if none does
// within foundWait.
//
// Frontends with the same flags that start at once must not each make a group. So one
// whose own address is among those to join makes a group only if it is the first.
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
	var others []string // host:port
	position := -1
	for i, u := range o.Join {
		addr, err := hostPort(u)
		if err != nil {
			return cli.Usagef("--join is %q; want the URL of a frontend: %w", u, err)
		}
		if own, _ := hostPort(o.URL); addr == f.HTTP || addr == own {
			position = i
			continue
		}
		others = append(others, addr)
	}
	founds, err := f.mayFound()
	if err != nil {
		return err
	}
	if founds && position <= 0 && !anybodyAt(ctx, others, wait) {
		o.Logger.Info("no frontend answers at the addresses to join, so this one makes a new group", "join", o.Join)
		o.Join = nil
		return ctx.Err()
	}
	o.Logger.Info("--bootstrap does nothing: this frontend joins the group of the others", "join", o.Join)
	o.Bootstrap = false
	return nil
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

// hostPort returns the address of a URL.
func hostPort(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", err
	case u.Host == "":
		return "", errors.New("it has no host")
	case u.Port() == "":
		return net.JoinHostPort(u.Hostname(), strings.TrimSuffix(u.Scheme, ":")), nil
	}
	return u.Host, nil
}

// anybodyAt reports whether a connection to one of the addresses is accepted within wait.
func anybodyAt(ctx context.Context, addrs []string, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var dialing sync.WaitGroup
	found := make(chan struct{}, len(addrs))
	for _, addr := range addrs {
		dialing.Go(func() {
			for ctx.Err() == nil {
				if c, err := new(net.Dialer).DialContext(ctx, "tcp", addr); err == nil {
					c.Close()
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
	dialing.Wait()
	return len(found) > 0
}
