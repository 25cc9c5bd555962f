package main

import (
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
	"laurel/internal/cli"
	"laurel/trust/pki"
)

// trustFlags is what the flags of laurel frontend say about certificates.
type trustFlags struct {
	insecure          bool
	joinToken         string
	certFile, keyFile string // for clients
}

const (
	trustDir      = "trust"   // in the data directory
	stableFile    = "raft.db" // in the data directory
	enrollPause   = 500 * time.Millisecond
	enrollTimeout = time.Minute
	tokenHint     = "an operator makes a token with laurel cluster token"
)

// prepare sets the identity of the member that o describes, or checks that it needs none.
// http is the address for clients.
func (t *trustFlags) prepare(ctx context.Context, http string, o *cluster.Options) error {
	dir := filepath.Join(o.Dir, trustDir)
	_, err := os.Stat(dir)
	secure := err == nil
	if t.insecure {
		return t.checkInsecure(http, secure, o)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, stableFile)); err == nil && !secure {
		return cli.Usagef("%s has the data of a group without certificates; start it with --insecure, "+
			"or make a new group in an empty directory", o.Dir)
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

// identity opens the identity in the data directory, makes that of the first member of a
// new group, or enrolls with a join token.
func (t *trustFlags) identity(ctx context.Context, p pki.Options, o *cluster.Options) (*pki.Identity, error) {
	i, err := pki.Open(p)
	switch {
	case err == nil && !(i.Expired() && t.joinToken != ""):
		return i, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil && o.Bootstrap:
		i, err := pki.Bootstrap(p)
		if err == nil {
			o.Logger.Info("made the group's certificate authority; "+
				"this directory has its only key until other voters have joined",
				"dir", p.Dir, "authority", i.IssuedBy())
		}
		return i, err
	case t.joinToken == "":
		return nil, cli.Usagef("to join a group a frontend needs a --join-token; %s", tokenHint)
	}
	token, err := pki.ParseJoinToken(t.joinToken)
	if err != nil {
		return nil, cli.Usagef("--join-token: %w; %s", err, tokenHint)
	}
	return enroll(ctx, p, token, o)
}

// enroll asks the frontends to join for a certificate, one after the other, until one
// issues or refuses it.
func enroll(ctx context.Context, p pki.Options, token pki.JoinToken, o *cluster.Options) (*pki.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, enrollTimeout)
	defer cancel()
	logged := ""
	for {
		var last error
		for _, url := range o.Join {
			key, issued, err := pki.Enroll(ctx, url, token, p)
			if err == nil {
				o.Logger.Info("the group issued a certificate for this frontend", "member", p.Member)
				return pki.NewIdentity(p, key, issued)
			}
			if e := (*pki.EnrollError)(nil); errors.As(err, &e) && !e.Temporary() {
				if e.Status == http.StatusUnauthorized {
					return nil, fmt.Errorf("%w; %s", err, tokenHint)
				}
				return nil, err
			}
			last = err
		}
		if s := last.Error(); s != logged {
			logged = s
			o.Logger.Info("waiting for a certificate from the group", "err", last)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no frontend of the group issued a certificate within %s: %w", enrollTimeout, last)
		case <-time.After(enrollPause):
		}
	}
}

// checkInsecure allows --insecure on loopback addresses only, and not for a group with
// certificates.
func (t *trustFlags) checkInsecure(http string, secure bool, o *cluster.Options) error {
	if secure {
		return cli.Usagef("%s has the data of a group with certificates; start it without --insecure", o.Dir)
	}
	for flag, addr := range map[string]string{"--http": http, "--peer": o.Peer} {
		if !isLoopback(addr) {
			return cli.Usagef("%s is %s: with --insecure whoever reaches a frontend can post, "+
				"join and remove members, so only loopback addresses such as 127.0.0.1 are allowed", flag, addr)
		}
	}
	o.Logger.Warn("INSECURE: nobody is authenticated; whoever reaches this frontend can post and change the group; " +
		"use this for tests and first steps only")
	return nil
}

// isLoopback reports whether a host:port is on the loopback interface.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// hosts lists the names and addresses by which clients and members reach a frontend.
func hosts(http string, o *cluster.Options) []string {
	list := []string{"localhost", "127.0.0.1", "::1"}
	add := func(host string) {
		if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) && !slices.Contains(list, host) {
			list = append(list, host)
		}
	}
	for _, addr := range []string{http, o.Peer, o.URL} {
		if _, rest, isURL := strings.Cut(addr, "://"); isURL {
			addr, _, _ = strings.Cut(rest, "/")
		}
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

// clientCertificate returns the certificate of --tls-cert and --tls-key; nil if they are
// not set.
func (t *trustFlags) clientCertificate(log *slog.Logger) (*pki.Files, error) {
	switch {
	case (t.certFile == "") != (t.keyFile == ""):
		return nil, cli.Usagef("--tls-cert and --tls-key go together")
	case t.certFile == "":
		return nil, nil
	}
	return pki.OpenFiles(t.certFile, t.keyFile, func(err error) {
		log.Error("could not read the certificate for clients again; the old one stays in use", "err", err)
	})
}
