package status

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
)

// PollEvery is how often a member polls each other one, at a time scale of 1.
const PollEvery = 250 * time.Millisecond

// Poller asks the other members for their status.
type Poller struct {
	Reports *Reports
	Source  *Source // of this member
	Port    *peer.Port
	Every   time.Duration // PollEvery, scaled
	Timeout time.Duration // for one status
	wake    chan struct{}
}

// NewPoller returns p after setting it up.
func NewPoller(p Poller) *Poller {
	p.wake = make(chan struct{}, 1)
	return &p
}

// PollNow makes Run poll without waiting for the next period.
func (p *Poller) PollNow() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run polls until ctx ends. It calls polled after each poll.
func (p *Poller) Run(ctx context.Context, polled func()) {
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-p.wake:
		}
		p.poll(ctx)
		polled()
	}
}

func (p *Poller) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.Every)
	defer cancel()
	p.Each(ctx, peer.Servers(p.Source.Raft), func(s raft.Server, status Status, err error) {
		if errors.Is(err, syscall.ECONNREFUSED) {
			p.Reports.addRefused(s.ID)
		}
		if status.Member != s.ID {
			return
		}
		p.Reports.addListing(s.ID, status.Roster)
		if err == nil {
			p.Reports.add(status, p.Source.Raft.CurrentTerm())
		}
	})
}

// Each asks all servers but this one for their status, concurrently, and calls f with
// each answer, one at a time. It returns after the last answer.
func (p *Poller) Each(ctx context.Context, servers []raft.Server, f func(raft.Server, Status, error)) {
	var asking sync.WaitGroup
	var answering sync.Mutex
	for _, s := range servers {
		if s.ID == p.Source.Self {
			continue
		}
		asking.Go(func() {
			status, err := p.Ask(ctx, string(s.Address))
			answering.Lock()
			defer answering.Unlock()
			f(s, status, err)
		})
	}
	asking.Wait()
}

// Ask asks the member at a peer address for its status. With an error the status is
// empty, but with a *peer.RemovedError it has Member and Roster.
func (p *Poller) Ask(ctx context.Context, addr string) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	if addr == p.Port.Addr().String() {
		return p.Source.Status(""), nil
	}
	var by raft.ServerID // of the certificate
	var s Status
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(g httptrace.GotConnInfo) {
		by, s.Certificate = peer.FromConn(g.Conn), peer.CertificateOf(g.Conn)
	}})
	err := p.Port.Call(ctx, addr, http.MethodGet, Path+"?from="+url.QueryEscape(string(p.Source.Self)), nil, &s)
	var removed *peer.RemovedError
	switch {
	case errors.As(err, &removed):
		// A removed member gets no status, but the certificate names who answered.
		return Status{Member: by, Roster: &Listing{Index: removed.Index}}, err
	case err != nil:
		return Status{}, err
	case s.Member == "":
		return Status{}, errors.New("the member does not report its id")
	case p.Source.Identity != nil && s.Member != by:
		return Status{}, fmt.Errorf("the member reports the id %q, but its certificate is for %q", s.Member, by)
	}
	return s, nil
}
