package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"laurel/cluster"
	"laurel/internal/cli"
	"laurel/trust/pki"
)

// trusting is what the flags say of how a frontend is to be trusted, and whom it trusts.
type trusting struct {
	insecure  bool
	joinToken string
	cert, key string // files of a certificate for clients
}

const (
	trustDir     = "trust" // in the data directory
	logAndVotes  = "raft.db"
	enrollPause  = 500 * time.Millisecond
	enrollWithin = time.Minute
)

// prepare gives the member that o describes its identity, or finds that it needs none. http is the address for clients.
func (t *trusting) prepare(ctx context.Context, http string, o *cluster.Options) error {
	dir := filepath.Join(o.Dir, trustDir)
	_, err := os.Stat(dir)
	secure := err == nil
	if t.insecure {
		return t.checkInsecure(http, secure, o)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, logAndVotes)); err == nil && !secure {
		return cli.Usagef("the data in %s are of a group without certificates; start it with --insecure, or begin a new group with an empty directory", o.Dir)
	}
	if !secure && !o.Bootstrap && len(o.Join) == 0 {
		return &cluster.EmptyError{Dir: o.Dir}
	}
	member, err := cluster.ServerID(o.Dir, o.ID)
	if err != nil {
		return err
	}
	o.Guarded = true
	o.Identity, err = t.identity(ctx, pki.Options{Dir: dir, Member: member, Hosts: hosts(http, o)}, o)
	return err
}

// identity is the one in the directory; or the first of a new group; or one that the group gives for a token.
func (t *trusting) identity(ctx context.Context, who pki.Options, o *cluster.Options) (*pki.Identity, error) {
	i, err := pki.Open(who)
	switch {
	case err == nil && !(i.Expired() && t.joinToken != ""):
		return i, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil && o.Bootstrap:
		i, err := pki.Bootstrap(who)
		if err == nil {
			o.Logger.Info("made the group's certificate authority; only this directory has its key, until other voters have joined", "dir", who.Dir, "authority", i.IssuedBy())
		}
		return i, err
	case t.joinToken == "":
		return nil, cli.Usagef("to join a group a frontend needs a --join-token, which an operator makes with laurel cluster token")
	}
	token, err := pki.ParseJoinToken(t.joinToken)
	if err != nil {
		return nil, cli.Usagef("--join-token: %w", err)
	}
	return enroll(ctx, who, token, o)
}

// enroll asks one frontend of the group after the other for a certificate, until one gives it or refuses.
func enroll(ctx context.Context, who pki.Options, token pki.JoinToken, o *cluster.Options) (*pki.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, enrollWithin)
	defer cancel()
	said := ""
	for {
		var last error
		for _, url := range o.Join {
			key, issued, err := pki.Enroll(ctx, url, token, who)
			if err == nil {
				o.Logger.Info("the group has given this frontend a certificate", "member", who.Member)
				return pki.NewIdentity(who, key, issued)
			}
			if e := (*pki.EnrollError)(nil); errors.As(err, &e) && !e.Temporary() {
				return nil, err
			}
			last = err
		}
		if s := last.Error(); s != said {
			said = s
			o.Logger.Info("waiting for a certificate of the group", "error", last)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no frontend of the group gave a certificate within %s: %w", enrollWithin, last)
		case <-time.After(enrollPause):
		}
	}
}

// checkInsecure lets nobody but this machine reach a frontend that trusts everybody.
func (t *trusting) checkInsecure(http string, secure bool, o *cluster.Options) error {
	if secure {
		return cli.Usagef("the data in %s are of a group with certificates; start it without --insecure", o.Dir)
	}
	for flag, addr := range map[string]string{"--http": http, "--peer": o.Peer} {
		if !loopback(addr) {
			return cli.Usagef("%s is %s: with --insecure anybody who reaches it can post, join and take frontends out, so only addresses of the loopback are allowed, such as 127.0.0.1", flag, addr)
		}
	}
	o.Logger.Warn("INSECURE: nobody is authenticated; whoever reaches this frontend may post, join, and change the group. For tests and first steps only")
	return nil
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// hosts are the names and addresses under which clients and members reach a frontend.
func hosts(http string, o *cluster.Options) []string {
	list := []string{"localhost", "127.0.0.1", "::1"}
	add := func(host string) {
		if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) && !slices.Contains(list, host) {
			list = append(list, host)
		}
	}
	for _, addr := range []string{http, o.Peer, strings.TrimSuffix(afterScheme(o.URL), "/")} {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host, _, _ = strings.Cut(addr, "/")
		}
		add(host)
	}
	if host, _, err := net.SplitHostPort(http); err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			if name, err := os.Hostname(); err == nil {
				add(name)
			}
		}
	}
	return list
}

func afterScheme(url string) string {
	_, rest, found := strings.Cut(url, "://")
	if !found {
		return url
	}
	return rest
}

// clientCertificate returns the certificate that --tls-cert and --tls-key name; nil if they name none.
func (t *trusting) clientCertificate(log *slog.Logger) (*pki.Files, error) {
	switch {
	case (t.cert == "") != (t.key == ""):
		return nil, cli.Usagef("--tls-cert and --tls-key go together")
	case t.cert == "":
		return nil, nil
	}
	return pki.OpenFiles(t.cert, t.key, func(err error) {
		log.Error("could not read the certificate for clients again; the old one stays in use", "err", err)
	})
}
