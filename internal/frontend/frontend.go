// Package frontend puts a whole frontend together: a member of the Raft group, the HTTP
// API that answers from its memory, and the server that listens for clients. The laurel
// command runs one in a process; tests run several in one process.
//
// Start is the only place that knows both package cluster and package httpapi.
package frontend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"laurel/backup"
	"laurel/cluster"
	"laurel/cluster/enroll"
	"laurel/cluster/peer"
	"laurel/httpapi"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/question"
	"laurel/internal/address"
	"laurel/trust/pki"
)

// Options describe a frontend.
type Options struct {
	// HTTP is the host:port on which clients are served. With port 0 the system chooses
	// one.
	HTTP string
	// URL is where clients reach the frontend. Without one it follows from HTTP.
	URL address.URL
	// Member is the member of the group. Start sets its Metrics and its URL.
	Member cluster.Options
	// API is the HTTP API. Start sets what follows from the member and its certificates:
	// URL, TLS, PublicCertificate, Secure, Verify, CallerOf, PublicHost, Logger and the
	// metrics.
	API httpapi.Options
	// Backup is where this frontend copies the store to while it is the master; nil for
	// nowhere.
	Backup *backup.Plan
	// Certificate is shown to clients instead of the one that the group's own authority
	// issued. It may be nil.
	Certificate *pki.Files
}

// closeLimit bounds the transfer of leadership and the last answers of a frontend that
// stops, and drainLimit how long its watchers have before that to go to others.
const (
	closeLimit = 5 * time.Second
	drainLimit = 6 * time.Second
)

// Frontend is a running frontend. Its methods may be called by any goroutine.
type Frontend struct {
	options cluster.Options
	member  *cluster.Member
	api     *httpapi.API
	server  *fastpath.Server
	served  chan error // gets the error with which the server ended
	addr    string
	backups *backup.Runner // nil without a plan
}

// Start starts a frontend. It returns once the member runs and the HTTP port is open,
// which is before it can answer.
func Start(o Options) (*Frontend, error) {
	if o.Member.Logger == nil {
		o.Member.Logger = slog.Default()
	}
	listener, err := net.Listen("tcp", o.HTTP)
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	secure := o.Member.Identity != nil
	if err := o.setURL(secure, listener.Addr()); err != nil {
		listener.Close()
		return nil, err
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
	switch {
	case secure:
		o.API.TLS = o.Member.Identity.PublicConfig(o.Certificate, member.Removed)
	case o.Certificate != nil:
		o.API.TLS = o.Certificate.Config()
	}
	if o.Certificate != nil {
		o.API.PublicCertificate = o.Certificate.Public
	}
	o.API.Secure, o.API.Verify, o.API.CallerOf = secure, member.Verifier().VerifyEvent, member.CallerOf
	o.API.Sender, o.API.PublicHost = peer.FromContext, o.URL.Hostname()
	o.API.Logger, o.API.Registry = o.Member.Logger, registry
	group := httpapi.Group{
		Status:     member,
		Reader:     member,
		Poster:     member,
		Forwarder:  member,
		Access:     member,
		Membership: member,
		Trust:      issuer{member.Issuer()},
		Voucher:    member,
		Store:      member,
	}
	if c := member.Certifier(); c != nil {
		group.Certifier = c
	}
	api := httpapi.New(group, o.API)
	member.ServeForwarded(api.ForwardedHandler(), question.ByKey)
	f := &Frontend{
		options: o.Member,
		member:  member,
		api:     api,
		server:  api.Front(),
		served:  make(chan error, 1),
		addr:    listener.Addr().String(),
		backups: newBackups(o.Backup, member, &o.Member),
	}
	go func() { f.served <- f.server.Serve(api.Limited(listener)) }()
	return f, nil
}

// setURL sets the URL of a frontend that listens at addr. The host in HTTP may be a name,
// which addr is not.
func (o *Options) setURL(secure bool, addr net.Addr) error {
	host, _, err := net.SplitHostPort(o.HTTP)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return err
	}
	own, err := address.Of(secure, net.JoinHostPort(host, port), MachineName())
	if o.URL == (address.URL{}) || strings.HasSuffix(o.URL.Host, ":0") { // the system has chosen the port
		if err != nil {
			return fmt.Errorf("no URL for clients follows from the address: %w", err)
		}
		o.URL = own
	}
	o.Member.URL, o.API.URL, o.API.Direct = o.URL.String(), o.URL, o.URL == own
	return nil
}

// MachineName returns the name of this machine, which a URL has in the place of an address
// that stands for all of them; "" if it is not known.
func MachineName() string {
	name, _ := os.Hostname()
	return name
}

// issuer is the issuer as package httpapi asks for certificates, without naming package
// pki.
type issuer struct{ *enroll.Issuer }

// Enroll returns a *pki.IssuedCertificate.
func (i issuer) Enroll(ctx context.Context, token string, csr []byte, member string) (any, error) {
	return i.Issuer.Enroll(ctx, token, csr, member)
}

// Member returns the member of the group.
func (f *Frontend) Member() *cluster.Member { return f.member }

// Addr returns the host:port on which the frontend serves clients.
func (f *Frontend) Addr() string { return f.addr }

// Metrics returns the handler of the page with the metrics. It authenticates nobody.
func (f *Frontend) Metrics() http.Handler { return f.api.Metrics() }

// Run serves until ctx ends or the frontend cannot go on, and closes it. It returns nil
// after an orderly end.
func (f *Frontend) Run(ctx context.Context) error {
	go f.logReady(ctx)
	backups, stop := context.WithCancel(ctx)
	defer stop()
	go f.runBackups(backups)
	operators, cancel := context.WithCancel(ctx)
	defer cancel()
	if f.options.Bootstrap && f.options.Identity != nil { // a new secure group needs a first operator
		go f.makeFirstOperator(operators)
	}
	go f.recoverOperator(operators)
	select {
	case <-ctx.Done():
		f.options.Logger.Info("stopping: sending watchers and leadership to others, and closing")
		f.drain()
		return f.close()
	case err := <-f.member.Ended():
		if errors.Is(err, cluster.ErrRemoved) {
			// The request to leave may be under way here.
			return errors.Join(err, f.close())
		}
		// The storage may hang, so that Close could block. What was acked is on the
		// disks.
		f.server.Close()
		return err
	case err := <-f.served:
		return errors.Join(fmt.Errorf("serve clients: %w", err), f.close())
	}
}

// Kill ends the frontend without transferring leadership and without waiting for
// requests, as the death of its process would. Run must not be running.
func (f *Frontend) Kill() error {
	f.api.Close()
	return errors.Join(f.server.Close(), f.member.Close())
}

// poll calls done until it returns true or ctx ends.
func poll(ctx context.Context, interval time.Duration, done func() bool) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil && !done() {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// logReady logs once that the frontend is ready.
func (f *Frontend) logReady(ctx context.Context) {
	poll(ctx, 20*time.Millisecond, func() bool {
		if f.member.Ready(ctx) != nil {
			return false
		}
		f.options.Logger.Info("frontend is ready", "url", f.options.URL, "peer", f.member.Peer())
		if f.options.Private && !f.member.Access().Settings.Private {
			f.options.Logger.Warn("the group is not private, and everybody may read: --private is only for a " +
				"new group; to hide the scores, run laurel cluster set private=true")
		}
		if has := f.member.Access().Settings.Lineage; f.options.Lineage != "" && has != f.options.Lineage {
			f.options.Logger.Error("the group that this frontend has joined is another store: "+
				"--lineage is only for a new group", "lineage", has, "wanted", f.options.Lineage)
		}
		f.warnOfVoters()
		return true
	})
}

// swornVoters is the number of voters of which one may be corrupt.
const swornVoters = 4

// warnOfVoters logs that a sworn group is too small to be of use.
func (f *Frontend) warnOfVoters() {
	if !f.member.Access().Settings.Sworn {
		return
	}
	voters := 0
	for _, m := range f.member.Frontends().Frontends {
		if m.Voter {
			voters++
		}
	}
	if voters < swornVoters {
		f.options.Logger.Warn("the group is sworn, which is of use with four voters: with fewer, one corrupt frontend "+
			"is enough to deceive or to stop the others", "voters", voters)
	}
}

// drain has the watchers go to other frontends, while this one still answers.
func (f *Frontend) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	f.member.Stopping()
	f.member.HandOver(ctx) // first: what is draining hands over, too
	f.member.SetDraining(true)
	f.api.Drain(ctx)
}

func (f *Frontend) close() error {
	f.member.Stopping()
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
