package client

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"laurel/score"
	"laurel/trust/signing"
)

// A client with a key signs what it posts. A signature covers the complete event, so the
// client sets the time and the seq of events that have none before it signs them.

// maxNumberings is how often a post is numbered anew because another program posted as
// the same source meanwhile.
const maxNumberings = 5

// postSigned is Post with a key.
func (c *Client) postSigned(ctx context.Context, events []score.Event) ([]score.Result, error) {
	for n := 1; ; n++ {
		numbered, err := c.complete(ctx, events)
		if err != nil {
			return nil, err
		}
		if err := signing.Sign(c.o.Key, events); err != nil {
			return nil, err
		}
		results, err := c.postAll(ctx, events)
		if len(numbered) == 0 || n == maxNumberings || !seqTaken(err) {
			return results, err
		}
		// Nothing was applied, so the seqs that were set here may change.
		for _, i := range numbered {
			events[i].Seq = 0
		}
	}
}

// seqTaken reports whether a post was refused because a seq is not the next one any more.
func seqTaken(err error) bool {
	p, ok := errors.AsType[*score.Problem](err)
	return ok && (p.Code == score.SeqGap || p.Code == score.IDConflict)
}

// complete sets the time and the seq of events that have none. numbered are the indices
// of the events that got a seq.
func (c *Client) complete(ctx context.Context, events []score.Event) (numbered []int, err error) {
	last := map[string]uint64{} // of sources
	for i := range events {
		e := &events[i]
		if e.Source == "" {
			return nil, score.Problemf(score.InvalidEvent,
				"event %q has no source; a signed event needs one: the name under which the key is "+
					"registered, or one below it", e.ID)
		}
		if e.Time.IsZero() {
			e.Time = time.Now().UTC()
		}
		if e.Seq == 0 {
			if _, asked := last[e.Source]; !asked {
				if last[e.Source], err = c.lastSeq(ctx, e.Source); err != nil {
					return nil, err
				}
			}
			e.Seq = last[e.Source] + 1
			numbered = append(numbered, i)
		}
		last[e.Source] = e.Seq
	}
	return numbered, nil
}

// lastSeq returns the last seq of a source, 0 if it has posted nothing.
func (c *Client) lastSeq(ctx context.Context, source string) (uint64, error) {
	b, err := c.Bard(ctx, source)
	if p, ok := errors.AsType[*score.Problem](err); ok && p.Code == score.NotFound {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the next seq of %s for a signed event: %w", source, err)
	}
	return b.LastSeq, nil
}

// busyEvents is the number of unanswered events that keep a frontend busy. While there
// are that many, new events wait until they fill a whole tree, because a frontend has as
// much work with the signature of one event as with that of a tree of 256.
const busyEvents = 512

// signer signs the events of a stream before they are sent, as many at once as there are.
type signer struct {
	private ed25519.PrivateKey
	id      string

	// Under the stream's lock:
	ready   sync.Cond // isReady may have become true
	pending []Line    // not signed yet
	count   int       // of the pending lines and those being signed
	bytes   int
}

// newSigner starts the signer of a stream.
func newSigner(s *Stream, private ed25519.PrivateKey) *signer {
	g := &signer{private: private, id: score.KeyID(private.Public().(ed25519.PublicKey))}
	g.ready.L = &s.mu
	go g.run(s)
	return g
}

// isReady reports whether it is time to sign the pending lines, or to end. The stream
// must be locked.
func (g *signer) isReady(s *Stream) bool {
	if s.err != nil || s.closed && g.count == 0 {
		return true
	}
	idle := len(s.queue) < min(busyEvents, (s.o.Window+1)/2)
	return len(g.pending) > 0 && (len(g.pending) >= score.MaxTree || s.closed || idle)
}

// wake is called whenever isReady may have become true. The stream must be locked. g may
// be nil.
func (g *signer) wake(s *Stream) {
	if g != nil && g.isReady(s) {
		g.ready.Signal()
	}
}

// run signs until the stream has failed, or is closed and everything is signed.
func (g *signer) run(s *Stream) {
	for {
		s.mu.Lock()
		for !g.isReady(s) {
			g.ready.Wait()
		}
		if s.err != nil || g.count == 0 {
			s.mu.Unlock()
			return
		}
		n := min(len(g.pending), score.MaxTree)
		lines := append([]Line(nil), g.pending[:n]...)
		g.pending = append(g.pending[:0], g.pending[n:]...)
		s.mu.Unlock()
		size := 0
		for i := range lines {
			size += len(lines[i].JSON)
		}
		g.sign(lines)
		s.mu.Lock()
		g.count -= n
		g.bytes -= size
		if s.err == nil {
			for _, l := range lines {
				s.enqueue(l)
			}
		}
		s.mu.Unlock()
		s.notifyWriter()
	}
}

func (g *signer) sign(lines []Line) {
	forms := make([][]byte, 0, len(lines))
	for i := range lines {
		if lines[i].form {
			forms = append(forms, lines[i].JSON)
		}
	}
	signatures, err := signing.SignForms(g.private, forms)
	if err != nil {
		return // only for keys that New refuses
	}
	for i := range lines {
		if l := &lines[i]; l.form {
			l.JSON, l.form = signing.EventJSON(l.JSON, signatures[0]), false
			signatures = signatures[1:]
		}
	}
}

// prepare sets the JSON of a line that has an Event: to the form that is signed, if the
// stream signs.
func (s *Stream) prepare(l *Line) error {
	e := l.Event
	l.ID, l.Seq, l.Event = e.ID, e.Seq, nil
	if s.signer == nil {
		return l.write(e)
	}
	signed := *e
	signed.Key = s.signer.id
	var err error
	if l.JSON, err = signing.Form(&signed); err != nil {
		return fmt.Errorf("event %q cannot be signed: %w", e.ID, err)
	}
	l.form = true
	return nil
}
