// Package frontend puts a whole frontend together: a member of the Raft group, the HTTP API that
// answers from its memory, and the server that listens for clients. The laurel command runs one in
// a process; tests run several in one process.
//
// Start is the only place that knows both package cluster and package httpapi.
package frontend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"laurel/cluster"
	"laurel/cluster/enroll"
	"laurel/cluster/peer"
	"laurel/httpapi"
	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/question"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Options describe a frontend.
type Options struct {
	// HTTP is the host:port on which clients are served. With port 0 the system chooses one.
	HTTP string
	// Member is the member of the group. Start sets its Metrics, and its URL where that is empty.
	Member cluster.Options
	// API is the HTTP API. Start sets what follows from the member: TLS, Secure, Verify, MemberOf,
	// Logger and the metrics.
	API httpapi.Options
	// Certificate is shown to clients instead of the one that the group's own authority issued.
	// It may be nil.
	Certificate *pki.Files
}

const (
	readyPoll = 20 * time.Millisecond
	// closeLimit bounds the transfer of leadership and the last answers of a frontend that stops.
	closeLimit = 5 * time.Second
)

// Frontend is a running frontend. Its methods may be called by any goroutine.
type Frontend struct {
	member *cluster.Member
	api    *httpapi.API
	server *fastpath.Server
	served chan error // gets the error with which the server ended
	addr   string
	url    string
	dir    string
	log    *slog.Logger
	// founds is true where the frontend makes a new secure group, which needs a first operator.
	founds bool
}

// Start starts a frontend. It returns once the member runs and the HTTP port is open, which is
// before it can answer: see Ready.
func Start(o Options) (*Frontend, error) {
	if o.Member.Logger == nil {
		o.Member.Logger = slog.Default()
	}
	var started atomic.Pointer[cluster.Member]
	removed := func(member string) bool {
		m := started.Load()
		return m != nil && m.Removed(member)
	}
	o.API.TLS = clientTLS(o.Member.Identity, o.Certificate, removed)
	listener, err := net.Listen("tcp", o.HTTP)
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	secure := o.Member.Identity != nil
	if o.Member.URL == "" {
		o.Member.URL = "http://" + listener.Addr().String()
		if secure {
			o.Member.URL = "https://" + listener.Addr().String()
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	o.Member.Metrics = registry
	member, err := cluster.Start(o.Member)
	if err != nil {
		listener.Close()
		return nil, err
	}
	started.Store(member)
	o.API.Secure, o.API.Verify, o.API.MemberOf = secure, member.Verifier().VerifyEvent, pki.MemberOf
	o.API.Logger, o.API.Registerer, o.API.Gatherer = o.Member.Logger, registry, registry
	api := httpapi.New(groupOf(member), o.API)
	member.ServeForwarded(byMember(api.ForwardedHandler()), question.ByKey)
	f := &Frontend{
		member: member,
		api:    api,
		server: api.Front(),
		served: make(chan error, 1),
		addr:   listener.Addr().String(),
		url:    o.Member.URL,
		dir:    o.Member.Dir,
		log:    o.Member.Logger,
		founds: o.Member.Bootstrap && secure,
	}
	go func() { f.served <- f.server.Serve(api.Limited(listener)) }()
	return f, nil
}

func groupOf(m *cluster.Member) httpapi.Group {
	return httpapi.Group{
		Status:     m,
		Reader:     m,
		Poster:     m,
		Forwarder:  m,
		Access:     m,
		Membership: m,
		Trust:      issuer{m.Issuer()},
	}
}

// issuer is the issuer as package httpapi asks for certificates, without naming package pki.
type issuer struct{ *enroll.Issuer }

// Enroll returns a *pki.IssuedCertificate.
func (i issuer) Enroll(ctx context.Context, token string, csr []byte, member string) (any, error) {
	return i.Issuer.Enroll(ctx, token, csr, member)
}

// clientTLS returns the TLS configuration of the HTTP port, nil for none.
func clientTLS(i *pki.Identity, files *pki.Files, removed func(member string) bool) *tls.Config {
	switch {
	case i != nil:
		return i.PublicConfig(files, removed)
	case files != nil:
		return files.Config()
	}
	return nil
}

// byMember names the member of the connection's certificate as the caller of a request that a
// member makes for itself.
func byMember(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if by := peer.FromContext(r.Context()); by != "" && r.Header.Get(admission.CallerHeader) == "" {
			r.Header.Set(admission.CallerHeader, by)
		}
		h.ServeHTTP(w, r)
	})
}

// Member returns the member of the group.
func (f *Frontend) Member() *cluster.Member { return f.member }

// Addr returns the host:port on which the frontend serves clients.
func (f *Frontend) Addr() string { return f.addr }

// URL returns the address at which clients reach the frontend.
func (f *Frontend) URL() string { return f.url }

// Ready returns nil if the frontend can answer linearizable reads now.
func (f *Frontend) Ready(ctx context.Context) error { return f.member.Ready(ctx) }

// Run serves until ctx ends or the frontend cannot go on, and closes it. It returns nil after an
// orderly end.
func (f *Frontend) Run(ctx context.Context) error {
	go f.logReady(ctx)
	if f.founds {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go f.makeFirstOperator(ctx)
	}
	select {
	case <-ctx.Done():
		f.log.Info("stopping: transferring leadership and closing")
		return f.close()
	case err := <-f.member.Ended():
		// The storage may hang, so that Close could block. What was acked is on the disks.
		f.server.Close()
		if errors.Is(err, cluster.ErrRemoved) {
			return errors.Join(err, f.close())
		}
		return err
	case err := <-f.served:
		return errors.Join(fmt.Errorf("serve clients: %w", err), f.close())
	}
}

// Kill ends the frontend without transferring leadership and without waiting for requests, as the
// death of its process would. Run must not be running.
func (f *Frontend) Kill() error {
	f.api.Close()
	return errors.Join(f.server.Close(), f.member.Close())
}

// logReady logs once that linearizable reads can be answered.
func (f *Frontend) logReady(ctx context.Context) {
	for f.member.Ready(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(readyPoll):
		}
	}
	f.log.Info("frontend is ready", "url", f.url, "peer", f.member.Peer())
}

func (f *Frontend) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	// Leadership goes first: posts that are under way here then end at the next master.
	f.member.HandOver(ctx)
	f.api.Close()
	err := f.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = f.server.Close()
	}
	return errors.Join(err, f.member.Close())
}

// operatorFile, in the data directory of the frontend that founded a group, holds the token of the
// group's first operator.
const operatorFile = "operator.token"

// makeFirstOperator gives a new group an operator once this frontend is its master, and leaves the
// token in the data directory. It does nothing in a group that has ever had an operator.
func (f *Frontend) makeFirstOperator(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	logged := ""
	for {
		if f.member.Master() {
			for _, g := range f.member.Access().Grants {
				if g.Role == access.RoleOperator {
					return
				}
			}
			err := makeOperator(ctx, f.member, f.dir)
			if err == nil {
				f.log.Info("made the group's first operator; "+
					"pass its token to laurel's commands with --token @FILE or LAUREL_TOKEN",
					"file", filepath.Join(f.dir, operatorFile))
				return
			}
			if s := err.Error(); s != logged && ctx.Err() == nil {
				logged = s
				f.log.Warn("could not make the group's first operator; trying again", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// makeOperator writes the token to the disk before it proposes the grant: a grant whose token was
// lost would be useless, and after a crash the same token is proposed again.
func makeOperator(ctx context.Context, m *cluster.Member, dir string) error {
	token, err := operatorToken(filepath.Join(dir, operatorFile))
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	return m.ChangeAccess(ctx, access.Change{
		At: now,
		By: m.ID(),
		Grant: &access.Grant{
			ID:      token.ID,
			Name:    "operator",
			Role:    access.RoleOperator,
			Hash:    token.Hash(),
			Created: now,
		},
	})
}

// operatorToken reads the token in a file, or makes one and writes it there.
func operatorToken(path string) (access.BearerToken, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		token, err := access.ParseBearerToken(string(text))
		if err != nil {
			return token, fmt.Errorf("%s is damaged: %w; delete it and start again", path, err)
		}
		return token, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return access.BearerToken{}, err
	}
	token := access.NewBearerToken()
	return token, pki.WritePrivateFile(path, []byte(token.Text()+"\n"))
}
