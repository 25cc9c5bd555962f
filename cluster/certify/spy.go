//go:build spy

package certify

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/witness"
)

// Spy has a certifier lie. Its methods may be called by any goroutine.
type Spy struct {
	c       *Certifier
	lie     atomic.Pointer[string]
	first   atomic.Pointer[[]byte] // the first message of those that are replayed
	send    func(ctx context.Context, addr string, message []byte) error
	propose func(ctx context.Context, number uint64) error
	goBack  func(witness.Head, bool)
}

// The lies of a Spy.
const (
	LieMute       = "mute"       // it sends nothing that it has signed
	LieReplay     = "replay"     // what it has sent once, again and again
	LieJunk       = "junk"       // what is no note
	LieEquivocate = "equivocate" // a false round to every second frontend
	LieCosign     = "cosign"     // cosignatures of rounds that nobody has proven
	LieFuture     = "future"     // cosignatures of an hour later
	LieNoSeal     = "noseal"     // as the master it seals nothing
	LieSeals      = "seals"      // it seals rounds out of turn, and twice
	LieStay       = "stay"       // its state is another one, and it does not go back
)

// NewSpy returns a spy in a certifier, which may run already.
func NewSpy(c *Certifier) *Spy {
	s := &Spy{c: c, send: c.Send, propose: c.Propose, goBack: c.GoBack}
	s.Tell("")
	acts := c.Config
	acts.Send, acts.Propose, acts.GoBack = s.lieOfSend, s.lieOfPropose, s.lieOfGoBack
	c.acts.Store(&acts)
	return s
}

// Tell has the certifier tell a lie from now on; "" ends that.
func (s *Spy) Tell(lie string) {
	s.first.Store(nil)
	s.lie.Store(&lie)
}

func (s *Spy) lieOfSend(ctx context.Context, addr string, message []byte) error {
	switch lie := *s.lie.Load(); lie {
	case LieMute:
		return nil
	case LieReplay:
		own := message
		s.first.CompareAndSwap(nil, &own)
		if first := s.first.Load(); first != nil { // else another lie was just told
			message = *first
		}
	case LieJunk:
		message = []byte(`["laurel report 1\nlaurel/x\n7\n`)
	case LieEquivocate, LieCosign, LieFuture:
		if false, err := s.falseNote(lie, addr); err == nil {
			message = false
		}
	}
	return s.send(ctx, addr, message)
}

// falseNote returns a message with a false note, for the member at an address.
func (s *Spy) falseNote(lie, addr string) ([]byte, error) {
	_, next := s.c.Machine.Unsealed()
	heads := s.c.Machine.Heads(max(next, 2) - 1)
	if len(heads) == 0 {
		return nil, errors.New("there is no round")
	}
	head, policy := heads[0], &witness.Policy{Store: s.c.Access().Settings.Lineage}
	var addrs []string
	for _, a := range s.c.Peers() {
		addrs = append(addrs, a)
	}
	slices.Sort(addrs)
	if lie != LieFuture && slices.Index(addrs, addr)%2 == 0 {
		head.Root[0] ^= 1
	}
	var note []byte
	var err error
	switch lie {
	case LieEquivocate:
		note, err = s.c.key.SayReport(policy, head)
	case LieCosign:
		note, err = s.c.key.SayCosigned(policy, head, time.Now())
	case LieFuture:
		note, err = s.c.key.SayCosigned(policy, head, time.Now().Add(time.Hour))
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal([]string{string(note)})
}

func (s *Spy) lieOfPropose(ctx context.Context, number uint64) error {
	switch *s.lie.Load() {
	case LieNoSeal:
		return errors.New("the spy seals nothing")
	case LieSeals:
		for _, n := range []uint64{number + 5, max(number, 2) - 1, number, number} {
			_ = s.propose(ctx, n)
		}
		return nil
	}
	return s.propose(ctx, number)
}

func (s *Spy) lieOfGoBack(to witness.Head, othersHave bool) {
	if *s.lie.Load() != LieStay && s.goBack != nil {
		s.goBack(to, othersHave)
	}
}
