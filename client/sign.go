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

// A client with a key signs what it posts. What is signed is complete: so an event that has no time gets the present one here, and one without a seq
// the next of its source.

// numberings is how often a post is numbered anew because another poster of the source was faster.
const maxNumberings = 5

// postSigned is Post with a key.
func (c *Client) postSigned(ctx context.Context, events []score.Event) ([]score.Result, error) {
	for n := 1; ; n++ {
		made, err := c.complete(ctx, events)
		if err != nil {
			return nil, err
		}
		if err := signing.Sign(c.o.Key, events); err != nil {
			return nil, err
		}
		results, err := c.postAll(ctx, events)
		if len(made) == 0 || n == maxNumberings || !seqTaken(err) {
			return results, err
		}
		// Nothing was applied, so the numbers that were made are free to change.
		for _, i := range made {
			events[i].Seq = 0
		}
	}
}

// isTaken tells whether a post was refused because a seq is not the next any more.
func seqTaken(err error) bool {
	p, ok := errors.AsType[*score.Problem](err)
	return ok && (p.Code == score.SeqGap || p.Code == score.IDConflict)
}

// complete gives events the time and the seq that they lack. made are those that got a seq.
func (c *Client) complete(ctx context.Context, events []score.Event) (made []int, err error) {
	last := map[string]uint64{} // of sources
	for i := range events {
		e := &events[i]
		if e.Source == "" {
			return nil, score.Problemf(score.InvalidEvent, "event %q has no source; a signed event has one: the name under which the key is registered, or one below it", e.ID)
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
			made = append(made, i)
		}
		last[e.Source] = e.Seq
	}
	return made, nil
}

// lastSeq is 0 for a source that has posted nothing yet.
func (c *Client) lastSeq(ctx context.Context, source string) (uint64, error) {
	b, err := c.Bard(ctx, source)
	if p, ok := errors.AsType[*score.Problem](err); ok && p.Code == score.NotFound {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("where %s stands cannot be found out, which a signed event without a seq needs: %w", source, err)
	}
	return b.LastSeq, nil
}

// enough is how many unanswered events keep a frontend busy: while there are so many, those that come wait until a whole tree of them is there, for the
// frontends have as much work with the signature of one event as with that of 256.
const busyEvents = 512

// signer signs the events of a stream ahead of the connection, as many at once as there are.
type signer struct {
	private ed25519.PrivateKey
	id      string

	// Under the stream's lock:
	ready   sync.Cond // there is something to sign, or nothing any more
	pending []Line    // their JSON is the signed form; that of others goes out as it is
	count   int       // the pending, and those being signed
	bytes   int
}

// newSigner begins the signing of a stream.
func newSigner(s *Stream, private ed25519.PrivateKey) *signer {
	g := &signer{private: private, id: score.KeyID(private.Public().(ed25519.PublicKey))}
	g.ready.L = &s.mu
	go g.run(s)
	return g
}

// isRipe tells whether it is time to sign what is there. The stream is locked.
func (g *signer) isReady(s *Stream) bool {
	return s.err != nil || s.closed && g.count == 0 ||
		len(g.pending) > 0 && (len(g.pending) >= score.MaxTree || s.closed || len(s.queue) < min(busyEvents, (s.o.Window+1)/2))
}

// awaken is called whenever it may have become time. The stream is locked.
func (g *signer) wake(s *Stream) {
	if g != nil && g.isReady(s) {
		g.ready.Signal()
	}
}

// run signs until the stream is closed and everything signed, or has failed.
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
		return // of a key that New has refused
	}
	for i := range lines {
		if l := &lines[i]; l.form {
			l.JSON, l.form = signing.EventJSON(l.JSON, signatures[0]), false
			signatures = signatures[1:]
		}
	}
}

// prepare makes the JSON of a line that has an event instead: its signed form, where the stream signs.
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
