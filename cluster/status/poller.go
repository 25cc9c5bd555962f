package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cluster/peer"
	"laurel/internal/address"
	"laurel/trust/pki"
)

// PollEvery is how often a member polls each other one, at a time scale of 1, while
// something changes, is not as it should be, or is looked at. Otherwise only every
// restPolls-th of these polls is made.
const (
	PollEvery = 250 * time.Millisecond
	restPolls = 8
)

// Poller asks the other members for their status.
type Poller struct {
	Reports *Reports
	Source  *Source // of this member
	Port    *peer.Port
	Every   time.Duration // PollEvery, scaled
	Timeout time.Duration // for one status
	// Twin is called when another process answers as this member at another address.
	Twin func(addr string)
	// MayRecover reports whether the holder of a certificate is believed that the group was
	// recovered without this member; see peer.Authenticator.
	MayRecover func(pki.Holder) bool
	// Superseded is called when the group goes on without this member in another incarnation
	// of the store, with who says so.
	Superseded func(by string)
	Foreign    *prometheus.CounterVec // laurel_foreign_answers_total
	Logger     *slog.Logger

	wake    chan struct{}
	looked  atomic.Bool
	agreed  view                     // of all members at the last poll; zero if they did not agree
	foreign map[raft.ServerID]string // who answered in the place of a member, as it was logged
}

// NewPoller returns p after setting it up.
func NewPoller(p *Poller) *Poller {
	p.wake, p.foreign = make(chan struct{}, 1), map[raft.ServerID]string{}
	return p
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
	p.PollNow()
	for rested := 0; ; rested = 0 {
		for due := false; !due; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				rested++
				due = rested >= restPolls || p.looked.Swap(false) || p.agreed == view{} || p.view() != p.agreed
			case <-p.wake:
				due = true
			}
		}
		p.poll(ctx)
		polled()
	}
}

// Look notes that somebody looks at the reports, and may look again soon.
func (p *Poller) Look() { p.looked.Store(true) }

// view is what the members of a group agree on while nothing happens.
type view struct {
	term    uint64
	master  string
	applied uint64
	servers int
}

func (p *Poller) view() view {
	s := p.Source
	addr, _ := s.Raft.LeaderWithID()
	return view{s.Raft.CurrentTerm(), string(addr), s.Machine.Applied(), len(peer.Servers(s.Raft))}
}

func (p *Poller) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.Every)
	defer cancel()
	now := p.view()
	agreed := now.master != ""
	var asking sync.WaitGroup
	asking.Go(func() { p.askFormerAddress(ctx) })
	p.Each(ctx, peer.Servers(p.Source.Raft), func(s raft.Server, status Status, err error) {
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			p.Reports.addRefused(s.ID)
			p.Source.Gate.refused(s.ID)
		case err != nil || status.Member != s.ID:
			p.Reports.addMissed(s.ID)
		}
		agreed = agreed && err == nil && status.Member == s.ID && status.Term == now.term &&
			status.Master == now.master && status.Applied == now.applied && status.Forgot == 0
		p.noteForeign(s, status, err)
		if s.Suffrage == raft.Voter {
			p.Heed(string(s.Address), status, err)
		}
		if status.Member != s.ID {
			return
		}
		p.Reports.addListing(s.ID, status.Roster)
		if err == nil {
			p.Reports.add(status, p.Source.Raft.CurrentTerm())
			p.Reports.hold(s.ID, p.Source.heldBy(status))
			p.Source.Gate.heard(status)
		}
	})
	asking.Wait()
	p.agreed = view{}
	if agreed {
		p.agreed = now
	}
}

// askFormerAddress asks the address that the group has for this member, if it is not this
// one's. If another process answers there with this member's name, two processes have the
// same data: one is a copy, and a member that votes twice breaks the group.
func (p *Poller) askFormerAddress(ctx context.Context) {
	own, _ := peer.Find(peer.Servers(p.Source.Raft), p.Source.Self)
	addr := string(own.Address)
	if place := p.Reports.Place(); place != nil && place.Peer != "" {
		addr = place.Peer
	}
	if addr == "" || addr == p.Source.Peer {
		return
	}
	switch s, err := p.Ask(ctx, addr); {
	case err == nil && s.Member == p.Source.Self && s.Process != p.Source.Process:
		p.Twin(addr)
	case err == nil, errors.Is(err, syscall.ECONNREFUSED):
		p.Source.Gate.refused(p.Source.Self)
	}
}

// noteForeign logs and counts that somebody else than a member answers at its address:
// another instance, or a member of another group.
func (p *Poller) noteForeign(s raft.Server, status Status, err error) {
	found := string(status.Member)
	certificate, refused := errors.AsType[*pki.CertificateError](err)
	own := p.Source.Machine.Incarnation()
	switch {
	case refused:
		found = certificate.Error()
	case err != nil:
		return
	case status.Member == s.ID && own != "" && status.Incarnation != "" && status.Incarnation != own:
		found = fmt.Sprintf("%s of the group %s", status.Member, status.Incarnation)
	case status.Member == s.ID:
		delete(p.foreign, s.ID)
		return
	}
	p.Foreign.WithLabelValues(peer.MemberID(s.ID)).Inc()
	if p.foreign[s.ID] != found {
		p.foreign[s.ID] = found
		p.Logger.Error("another frontend answers at the address of a member: was it started with other data, "+
			"or does it belong to another group?", "member", peer.MemberID(s.ID), "address", s.Address,
			"want", s.ID, "found", found)
	}
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
// empty, but with a *peer.RemovedError it has Member and Roster, and with a
// *peer.SupersededError Member and Certificate.
func (p *Poller) Ask(ctx context.Context, addr string) (Status, error) {
	return p.ask(ctx, addr, false)
}

// AskAnyone asks the member of the group at addr for its status, also another member than the
// configuration has there: one that has moved, or that is to take a dead one's place.
func (p *Poller) AskAnyone(ctx context.Context, addr string) (Status, error) {
	return p.ask(ctx, addr, true)
}

// Meet asks the member at addr, and notes if a member has moved there.
func (p *Poller) Meet(ctx context.Context, addr string) {
	if s, err := p.AskAnyone(ctx, addr); err == nil {
		p.Source.Moved.Note(s.Member, addr)
	}
}

func (p *Poller) ask(ctx context.Context, addr string, literally bool) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	if addr == p.Port.Addr().String() {
		return p.Source.Status(""), nil
	}
	var by raft.ServerID // of the certificate
	var s Status
	asked := time.Now()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(g httptrace.GotConnInfo) {
		by, s.Certificate = peer.FromConn(g.Conn), peer.CertificateOf(g.Conn)
	}})
	path := Path + "?" + url.Values{
		"from": {string(p.Source.Self)}, "incarnation": {p.Source.Machine.Incarnation()}, "peer": {p.Source.Peer},
	}.Encode()
	var err error
	if literally {
		err = p.Port.AskAnyone(ctx, addr, path, &s)
	} else {
		err = p.Port.Call(ctx, addr, http.MethodGet, path, nil, &s)
	}
	if c := (*pki.CertificateError)(nil); errors.As(err, &c) && c.Reason == pki.WrongMember {
		// Another member is there. It may know that this one's group has ended.
		if e := p.Port.AskAnyone(ctx, addr, path, nil); errors.As(e, new(*peer.SupersededError)) {
			err = e
		}
	}
	var removed *peer.RemovedError
	var superseded *peer.SupersededError
	switch {
	case errors.As(err, &superseded):
		return Status{Member: by, Certificate: s.Certificate}, err
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
	s.Asked = asked
	public, _ := address.Parse(s.URL) // clients are not told another one
	s.URL = public.String()
	return s, nil
}
