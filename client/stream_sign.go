package client

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync"

	"laurel/score"
	"laurel/trust/signing"

	"github.com/go-json-experiment/json"
)

// busyEvents is the number of unanswered events at which new events wait until they fill a
// tree: a signature of 256 events is no more work for a frontend than that of one.
const busyEvents = 512

// signer signs the events of a stream before they are sent, as many at once as there are.
type signer struct {
	private ed25519.PrivateKey
	id      string

	// Under the stream's lock:
	ready   sync.Cond // isReady may have become true
	pending []Line
}

func newSigner(s *Stream, private ed25519.PrivateKey) *signer {
	g := &signer{private: private, id: score.KeyID(private.Public().(ed25519.PublicKey))}
	g.ready.L = &s.mu
	go g.run(s)
	return g
}

// isReady reports whether run has something to do. The stream must be locked.
func (g *signer) isReady(s *Stream) bool {
	if s.err != nil || s.noMore() {
		return true
	}
	idle := len(s.queue) < min(busyEvents, (s.o.Window+1)/2)
	return len(g.pending) > 0 && (len(g.pending) >= score.MaxTree || s.closed || idle)
}

// wake is called when isReady may have become true, also for a nil g. The stream must be
// locked.
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
		if s.err != nil || s.unsigned == 0 {
			s.mu.Unlock()
			return
		}
		n := min(len(g.pending), score.MaxTree)
		lines := slices.Clone(g.pending[:n])
		g.pending = append(g.pending[:0], g.pending[n:]...)
		s.mu.Unlock()
		size := 0
		for i := range lines {
			size += len(lines[i].JSON)
		}
		g.sign(lines)
		s.mu.Lock()
		s.unsigned -= n
		s.unsignedBytes -= size
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

// prepare encodes the Event of a line, as the form to be signed if the stream signs.
func (s *Stream) prepare(l *Line) (err error) {
	e := l.Event
	l.ID, l.Seq, l.Event, l.form = e.ID, e.Seq, nil, s.signer != nil
	if l.form {
		signed := *e
		signed.Key = s.signer.id
		l.JSON, err = signing.Form(&signed)
	} else {
		l.JSON, err = json.Marshal(e)
	}
	if err != nil {
		return fmt.Errorf("encode event %q: %w", e.ID, err)
	}
	return nil
}
