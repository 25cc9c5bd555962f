package certify

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"sync"
	"time"

	"laurel/score"
	"laurel/witness"
)

const (
	// proveTimeout is how long Prove waits for the next certificate.
	proveTimeout = 2 * time.Second
	// maxProveWaits is how many calls of Prove wait at once. Any client may ask for answers
	// that change all the time, and all that wait try again at the same moment.
	maxProveWaits = 256
	// maxProofs and maxProofBytes bound the proofs, with their answers, that are kept of a
	// round.
	maxProofs     = 4096
	maxProofBytes = 16 << 20
)

// publication is what readers are shown: the newest certified round of the own history, with the
// newest certificate that there is of it.
type publication struct {
	sealed  *Sealed       // nil if no round is certified yet, or if none may be shown
	strays  bool          // the own history is not the certified one
	note    []byte        // the certificate
	at      time.Time     // of the certificate
	changed chan struct{} // closed when something else is shown
	proofs  *proofs       // of the round
}

// Prove returns the answer to a key, such as "scores/OG50BC/CUR-1", in the newest certified
// round, and its proof for witness.Reader.Verify. The body is nil if it is proven that
// there is no answer. It must not be changed.
//
// An answer that has changed since that round, and that is not kept as it was, is held back
// until the next certificate. The error is a *score.Problem if that takes over two
// seconds or many wait already, if nothing is certified yet, if this frontend's history is
// not the certified one, or if the group is not sworn.
func (c *Certifier) Prove(ctx context.Context, key string) (body []byte, proof string, err error) {
	waits := false
	for {
		s := c.shown.Load()
		if s.sealed == nil {
			return nil, "", c.nothingShown(s)
		}
		p, err := s.prove(key, c.Machine.Answer)
		if err != nil {
			return nil, "", err
		}
		if p != nil {
			return p.body, p.proof + string(s.note), nil
		}
		changed := score.Problemf(score.NotReady,
			"the answer has changed since round %d, which is the newest certified one; retry, or ask another frontend",
			s.sealed.Round.Number)
		if !waits { // a context with a timeout costs more than a proof that is known
			defer c.waiting.Add(-1)
			if c.waiting.Add(1) > maxProveWaits {
				return nil, "", changed
			}
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, proveTimeout)
			defer cancel()
			waits = true
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return nil, "", changed
		}
	}
}

// Checkpoint returns the newest certificate, and a channel that is closed when there is
// another one. The error is a *score.Problem: nothing is certified, as for Prove.
func (c *Certifier) Checkpoint() (note []byte, changed <-chan struct{}, err error) {
	s := c.shown.Load()
	if s.sealed == nil {
		return nil, s.changed, c.nothingShown(s)
	}
	return s.note, s.changed, nil
}

// Sample returns the key of a random answer in the newest certified round.
func (c *Certifier) Sample() (key string, ok bool) {
	s := c.shown.Load()
	if s.sealed == nil || s.sealed.Answers.Size() == 0 {
		return "", false
	}
	key, _ = s.sealed.Answers.At(rand.Uint64N(s.sealed.Answers.Size()))
	return key, true
}

// Newest returns the number of the newest certified round, 0 if there is none, and the time
// of its certificate: it has every round that was certified before. A nil Certifier has
// none.
func (c *Certifier) Newest() (round uint64, at time.Time) {
	if c == nil {
		return 0, time.Time{}
	}
	s := c.shown.Load()
	if s.sealed == nil {
		return 0, time.Time{}
	}
	return s.sealed.Head.Size, s.at
}

// Cosigned returns the newest round that this frontend has cosigned. It is the zero value
// before the first one, and if it is not known what the key has signed.
func (c *Certifier) Cosigned() witness.Head {
	if h := c.cosigned.Load(); h != nil {
		return *h
	}
	return witness.Head{}
}

// Verdicts returns what is known against frontends.
func (c *Certifier) Verdicts() []witness.Verdict {
	if v := c.verdicts.Load(); v != nil {
		return *v
	}
	return nil
}

// nothingShown returns why there is no certified round to show.
func (c *Certifier) nothingShown(s *publication) *score.Problem {
	switch {
	case !c.Access().Settings.Sworn:
		return score.Problemf(score.NotFound,
			"the group is not sworn, so its frontends certify no answers; ask with GET")
	case s.strays:
		return score.Problemf(score.NotReady,
			"the history of this frontend is not the certified one; ask another frontend")
	}
	return score.Problemf(score.NotReady, "no round is certified here yet; retry in a second, or ask another frontend")
}

// proved is an answer with its proof.
type proved struct {
	body  []byte
	proof string // without the certificate, which ends it
}

// prove returns the answer to a key in the round; nil if that has changed since, and is not
// kept. answer returns the present one.
func (s *publication) prove(key string, answer func(string) ([]byte, error)) (*proved, error) {
	if p := s.proofs.find(key); p != nil {
		return p, nil
	}
	leaves := s.sealed.Answers.Prove(key)
	p := &proved{}
	if len(leaves) == 1 && leaves[0].Key == key {
		body, known := s.sealed.Body(key)
		if !known {
			var err error
			if body, err = answer(key); err != nil {
				return nil, err
			}
		}
		if body == nil || sha256.Sum256(body) != leaves[0].Body {
			return nil, nil
		}
		p.body = body
	}
	proof := witness.Proof{Round: s.sealed.Round, Path: s.sealed.Path, Leaves: leaves}
	p.proof = proof.String()
	if p.body != nil {
		s.proofs.add(key, p)
	}
	return p, nil
}

// proofs are the proofs of a round that have been asked for.
type proofs struct {
	mu    sync.RWMutex
	list  map[string]*proved
	bytes int
}

func (p *proofs) find(key string) *proved {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.list[key]
}

func (p *proofs) add(key string, proof *proved) {
	size := len(key) + len(proof.body) + len(proof.proof)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) < maxProofs && p.bytes+size <= maxProofBytes && p.list[key] == nil {
		p.list[key] = proof
		p.bytes += size
	}
}
