package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"time"

	"laurel/cluster"
	"laurel/cluster/forming"
	"laurel/httpapi/fastpath"
	"laurel/internal/address"
	"laurel/internal/cli"
	"laurel/trust/access"
	"laurel/trust/pki"
)

const (
	// formingConnections bounds the connections to a frontend without a group, and
	// formingPerAddress those of one address.
	formingConnections = 256
	formingPerAddress  = 16
)

// checkForming checks the flags of a group that is to be made.
func (f *frontendFlags) checkForming() error {
	m := &f.Member
	switch {
	case f.authority != "" && !f.makesGroup():
		return cli.Usagef("--authority is for the group that --bootstrap or --bootstrap-expect makes")
	case f.authority != "" && f.insecure:
		return cli.Usagef("--authority has no effect with --insecure, which authenticates nobody")
	case f.authority != "" && f.sworn:
		return cli.Usagef("--authority makes an operator by a token, and in a sworn group operators have keys; " +
			"leave it out")
	case m.Bootstrap && len(m.Join) > 0:
		return cli.Usagef("--bootstrap makes a group of this frontend alone, and --join joins another; for frontends " +
			"that all have the same flags use --bootstrap-expect")
	case m.Bootstrap && m.Replace:
		return cli.Usagef("--replace has no effect with --bootstrap: in a new group nobody is dead; join with it")
	case f.expect == 0:
		return nil
	case f.expect < 0 || f.expect > forming.MaxExpect:
		return cli.Usagef("--bootstrap-expect is %d; want 1 to %d frontends", f.expect, forming.MaxExpect)
	case m.Bootstrap:
		return cli.Usagef("--bootstrap-expect and --bootstrap exclude each other")
	case len(m.Join) == 0:
		return cli.Usagef("--bootstrap-expect needs the addresses of the frontends in --join")
	case f.sworn:
		return cli.Usagef("a sworn group does not form by itself: an operator signs in each frontend; " +
			"make it with --bootstrap")
	case !f.insecure && f.joinToken == "":
		return cli.Usagef("--bootstrap-expect needs a --join-token, by which the frontends know each other; " +
			"laurel authority new makes one")
	}
	named := slices.ContainsFunc(m.Join, func(text string) bool {
		p, err := address.ParsePlace(text)
		return err == nil && p.IsName()
	})
	switch n := len(m.Join); {
	case n >= 2*f.expect:
		return cli.Usagef("--join names %d frontends and --bootstrap-expect %d: two halves of them could each make a "+
			"group; expect more than half", n, f.expect)
	case !named && n < f.expect-1:
		return cli.Usagef("--join names %d frontends, and --bootstrap-expect %d needs %d others", n, f.expect,
			f.expect-1)
	}
	return nil
}

// makesGroup reports whether the frontend may be the one that makes a group.
func (f *frontendFlags) makesGroup() bool { return f.Member.Bootstrap || f.expect > 0 }

// form waits, for a frontend of --bootstrap-expect without data, until it is decided whether
// it makes the group or joins it.
func (f *frontendFlags) form(ctx context.Context) error {
	o := &f.Member
	if f.expect == 0 {
		return nil
	}
	if has, err := cluster.HasData(o.Dir); err != nil {
		return err
	} else if has {
		o.Logger.Info("--bootstrap-expect does nothing: the data directory has a member already", "data", o.Dir)
		return nil
	}
	places, err := address.ParsePlaces(o.Join)
	if err != nil {
		return err
	}
	member, err := cluster.ServerID(o.Dir, o.ID)
	if err != nil {
		return err
	}
	c := forming.Config{
		Dir: o.Dir, Member: member, Expect: f.expect, Logger: o.Logger,
		URLs: func(ctx context.Context) ([]string, error) { return address.URLs(ctx, net.DefaultResolver, places) },
	}
	if c.Founds, err = f.mayFound(member); err != nil {
		return err
	}
	if !f.insecure {
		token, err := pki.ParseJoinToken(f.joinToken)
		if err != nil {
			return cli.Usagef("--join-token: %w; %s", err, tokenHint)
		}
		c.Secret = token.Secret
	}
	if o.Bootstrap, err = f.decide(ctx, c); err != nil {
		return err
	}
	if o.Bootstrap {
		o.Join = nil
	} else {
		o.Logger.Info("a frontend at the addresses to join has a group; joining it", "join", o.Join)
	}
	return nil
}

// decide serves the other frontends at the port for clients until it is decided whether this
// one makes the group.
func (f *frontendFlags) decide(ctx context.Context, c forming.Config) (founds bool, err error) {
	fellow, err := forming.New(c)
	if err != nil {
		return false, err
	}
	l, err := net.Listen("tcp", f.HTTP)
	if err != nil {
		return false, fmt.Errorf("listen for the other frontends: %w", err)
	}
	defer l.Close() // the server does not close it if it is closed before it serves
	server := fellow.Server()
	defer server.Close()
	l = fastpath.Limit(l, formingConnections, formingPerAddress, netip.Addr.IsLoopback, func() {})
	go func() { _ = server.Serve(l) }() // ends with Close
	f.service.Ready(nil)                // the others may be started much later
	return fellow.Run(ctx)
}

// mayFound reports whether a frontend without data can make a group. In a secure group that
// takes the authority, and no certificate by another frontend: that has a group already.
func (f *frontendFlags) mayFound(member string) (bool, error) {
	if f.insecure || f.authority == "" {
		return f.insecure, nil
	}
	i, err := pki.Open(pki.Options{Dir: pki.DirIn(f.Member.Dir), Member: member, Hosts: f.hosts()})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err := pki.ReadFounding(f.authority)
		if errors.Is(err, fs.ErrNotExist) { // it may have been deleted since the group has formed
			f.Member.Logger.Warn("this frontend cannot make a group: the authority is not there", "err", err)
			return false, nil
		}
		return err == nil, err
	case err != nil:
		return false, err
	}
	return i.Authority(i.IssuedBy()) != nil, nil
}

// found makes the identity of the frontend that makes the group: with the authority of
// --authority, or with a new one.
func (f *frontendFlags) found(p pki.Options) (*pki.Identity, error) {
	if f.authority == "" {
		i, err := pki.Bootstrap(p)
		if err == nil {
			f.Member.Logger.Info("made the group's certificate authority; "+
				"this directory has its only key until other voters have joined",
				"dir", p.Dir, "authority", i.IssuedBy())
		}
		return i, err
	}
	founding, err := pki.ReadFounding(f.authority)
	if err != nil {
		return nil, err
	}
	return pki.Found(p, founding.Authority)
}

// setFounding sets what the group of --authority begins with.
func (f *frontendFlags) setFounding() error {
	if f.authority == "" || !f.Member.Bootstrap {
		return nil
	}
	if has, err := cluster.HasData(f.Member.Dir); err != nil || has {
		return err // the directory may be gone
	}
	founding, err := pki.ReadFounding(f.authority)
	if err != nil {
		return err
	}
	join, now := founding.Join, time.Now()
	if !now.Before(join.Expires) {
		f.Member.Logger.Warn("the join token of the authority has expired, so an operator must make another",
			"authority", f.authority, "expired", join.Expires)
	}
	f.Member.Founding = cluster.Founding{
		Operator: &access.Grant{
			ID: founding.Operator.ID, Hash: founding.Operator.Hash,
			Name: "operator", Role: access.RoleOperator, Created: now.UTC(),
		},
		Join: &access.JoinToken{
			ID: join.ID, Hash: join.Hash, Expires: join.Expires, Uses: join.Uses,
			Terms: access.Terms{Hosts: join.Hosts},
		},
	}
	return nil
}
