package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"laurel/cluster"
	"laurel/internal/address"
	"laurel/internal/cli"
	"laurel/internal/frontend"
	"laurel/trust/pki"
)

const (
	stableFile    = "raft.db" // in the data directory
	enrollPause   = 500 * time.Millisecond
	enrollTimeout = time.Minute
	tokenHint     = "an operator makes a token with laurel cluster token"
)

// checkDirectory checks that the data directory is for a group of the kind that the flags
// name.
func (f *frontendFlags) checkDirectory() error {
	o := &f.Member
	_, err := os.Stat(pki.DirIn(o.Dir))
	secure := err == nil
	if f.insecure {
		return f.checkInsecure(secure)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, stableFile)); err == nil && !secure {
		return cli.Usagef("%s has the data of a group without certificates; start it with --insecure, "+
			"or make a new group in an empty directory", o.Dir)
	}
	if !secure && !o.Bootstrap && len(o.Join) == 0 {
		return &cluster.EmptyError{Dir: o.Dir}
	}
	return nil
}

// readJoinToken reads the join token of --join-token from its file, if it is in one. A
// frontend with a certificate does without.
func (f *frontendFlags) readJoinToken() error {
	token, err := cli.ReadSecret(f.joinToken, "a join token")
	if err != nil {
		if _, known := pki.ReadHolder(pki.DirIn(f.Member.Dir)); known != nil {
			return cli.Usagef("--join-token: %w", err)
		}
		f.Member.Logger.Info("the join token cannot be read; it is needed only the first time", "err", err)
	}
	f.joinToken = token
	return nil
}

// setIdentity sets the identity of the member of a secure group.
func (f *frontendFlags) setIdentity(ctx context.Context) error {
	o := &f.Member
	if f.insecure {
		return nil
	}
	member, err := cluster.ServerID(o.Dir, o.ID)
	if err != nil {
		return err
	}
	if isLoopback(o.Peer) && !isLoopback(f.HTTP) {
		o.Logger.Warn("--peer is a loopback address, so members on other machines cannot reach this frontend",
			"peer", o.Peer)
	}
	o.Guarded = true
	if err := errors.Join(f.swornOptions(), f.setFounding()); err != nil {
		return err
	}
	o.Sworn.Founder = founderOf(f.joinToken)
	p := pki.Options{Dir: pki.DirIn(o.Dir), Member: member, Hosts: f.hosts()}
	o.Identity, err = f.identity(ctx, p)
	return err
}

// identity opens the identity in the data directory, makes that of the first member of a
// new group, or enrolls with a join token.
func (f *frontendFlags) identity(ctx context.Context, p pki.Options) (*pki.Identity, error) {
	i, err := pki.Open(p)
	switch {
	case err == nil && !i.Now().After(i.Expires()), err == nil && f.joinToken == "" && i.Holder().Role > pki.Joiner:
		return i, nil
	case err == nil && f.joinToken == "":
		return nil, cli.Usagef("this frontend has used a join token but has not joined within an hour; "+
			"it needs another --join-token; %s", tokenHint)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil && f.Member.Bootstrap:
		return f.found(p)
	case f.joinToken == "":
		return nil, cli.Usagef("to join a group a frontend needs a --join-token; %s", tokenHint)
	}
	token, err := pki.ParseJoinToken(f.joinToken)
	if err != nil {
		return nil, cli.Usagef("--join-token: %w; %s", err, tokenHint)
	}
	places, err := address.ParsePlaces(f.Member.Join)
	if err != nil {
		return nil, err
	}
	return requestCertificate(ctx, p, token, places, f.Member.Logger)
}

var errNoAddress = errors.New("no address to join is known")

// requestCertificate asks the frontends at some places in turn, until one issues or refuses a
// certificate.
func requestCertificate(
	ctx context.Context, p pki.Options, token pki.JoinToken, places []address.Place, log *slog.Logger,
) (*pki.Identity, error) {
	limited, cancel := context.WithTimeout(ctx, enrollTimeout)
	defer cancel()
	key, csr, err := pki.NewRequest(p.Member, p.Hosts)
	if err != nil {
		return nil, err
	}
	logged := ""
	for {
		urls, last := address.URLs(limited, net.DefaultResolver, places)
		if len(urls) == 0 {
			last = cmp.Or(last, errNoAddress)
		}
		for _, url := range urls {
			issued, err := pki.Enroll(limited, url, token, p, csr)
			if err == nil {
				log.Info("the group issued a certificate for this frontend", "member", p.Member)
				return pki.NewIdentity(p, key, issued)
			}
			if e, ok := errors.AsType[*pki.EnrollError](err); ok && !e.Temporary() {
				if e.Status == http.StatusUnauthorized {
					return nil, fmt.Errorf("%w; %s", err, tokenHint)
				}
				return nil, err
			}
			last = err
		}
		if s := last.Error(); s != logged && ctx.Err() == nil {
			logged = s
			log.Info("waiting for a certificate from the group", "err", last)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-limited.Done():
			return nil, fmt.Errorf("no frontend of the group issued a certificate within %s: %w", enrollTimeout, last)
		case <-time.After(enrollPause):
		}
	}
}

// checkInsecure allows --insecure only on loopback, and not with certificates.
func (f *frontendFlags) checkInsecure(secure bool) error {
	if secure {
		return cli.Usagef("%s has the data of a group with certificates; start it without --insecure", f.Member.Dir)
	}
	for _, given := range []struct{ flag, addr string }{
		{"--http", f.HTTP}, {"--peer", f.Member.Peer}, {"--peer-listen", f.Member.PeerListen},
	} {
		if given.addr != "" && !isLoopback(given.addr) {
			return cli.Usagef("%s is %s: with --insecure everybody who reaches a frontend can post, "+
				"join and remove members, so only loopback addresses such as 127.0.0.1 are allowed",
				given.flag, given.addr)
		}
	}
	f.Member.Logger.Warn("INSECURE: nobody is authenticated; everybody who reaches this frontend can post and " +
		"change the group; use this for tests and first steps only")
	return nil
}

// isLoopback reports whether a host:port is on the loopback interface.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && address.IsLoopback(host)
}

// checkAddresses checks what others are told, and makes the URL for clients if none is
// given.
func (f *frontendFlags) checkAddresses() (err error) {
	if err := address.CheckPeer(f.Member.Peer); err != nil {
		return cli.Usagef("--peer is %q; want host:port at which the other members reach this one: %w; "+
			"if that is not where to listen, give both --peer and --peer-listen", f.Member.Peer, err)
	}
	if listen := f.Member.PeerListen; listen != "" {
		if err := address.CheckListen(listen); err != nil {
			return cli.Usagef("--peer-listen is %q; want host:port, such as :9001: %w", listen, err)
		}
		if strings.HasSuffix(f.Member.Peer, ":0") {
			return cli.Usagef("--peer is %s; with --peer-listen it needs the port that others use", f.Member.Peer)
		}
	}
	if f.URL.Host != "" {
		if err := address.CheckListen(f.HTTP); err != nil {
			return cli.Usagef("--http is %q; want host:port to listen on for clients: %w", f.HTTP, err)
		}
		return nil
	}
	if f.URL, err = address.Of(!f.insecure, f.HTTP, frontend.MachineName()); err != nil {
		return cli.Usagef("--http is %s, of which no URL for clients follows: %w; set --public-url", f.HTTP, err)
	}
	return nil
}

// hosts lists the names and addresses by which clients and members reach a frontend.
func (f *frontendFlags) hosts() []string {
	list := append(slices.Clone(pki.LoopbackHosts),
		address.Hostname(f.HTTP), address.Hostname(f.Member.Peer), f.URL.Hostname())
	if machine := address.Hostname(frontend.MachineName()); address.IsUnspecified(address.Hostname(f.HTTP)) &&
		address.CheckHost(machine) == nil {
		list = append(list, machine)
	}
	slices.Sort(list)
	return slices.Compact(slices.DeleteFunc(list, address.IsUnspecified))
}

// setCertificate sets the certificate of --tls-cert and --tls-key, if there is one.
func (f *frontendFlags) setCertificate() (err error) {
	switch {
	case (f.certFile == "") != (f.keyFile == ""):
		return cli.Usagef("--tls-cert and --tls-key go together")
	case f.certFile == "":
		return nil
	}
	f.Certificate, err = pki.OpenFiles(f.certFile, f.keyFile, func(err error) {
		f.Member.Logger.Error("could not read the certificate for clients again; the old one stays in use", "err", err)
	})
	return err
}
