package certify

import (
	"context"
	"crypto/sha256"
	"hash"
	"time"

	"laurel/fsm"
	"laurel/witness"
)

const (
	// DigestEvery is the number of rounds from one digest of the whole state to the next: those
	// of an hour in which something changes all the time.
	DigestEvery = 7200
	// digestTime bounds the time that a digest takes: while its snapshot is open, the database
	// cannot reuse the space of what has changed since.
	digestTime = 10 * time.Minute
	// digestWork is for how long a state is hashed before a pause, which is digestRest times
	// as long: a quarter of a core.
	digestWork = 5 * time.Millisecond
	digestRest = 3
)

// kept is the state as it was at the seal of a round.
type kept struct {
	round    witness.Head
	snapshot *fsm.Snapshot
}

// Digest hashes a snapshot of the state at the seal of a round, and reports the digest. It
// returns at once, and releases the snapshot later. There is no digest if the last one is
// still under way.
func (c *Certifier) Digest(round witness.Head, s *fsm.Snapshot) {
	select {
	case c.kept <- kept{round, s}:
	default:
		s.Release()
	}
}

// digest hashes the states that Digest is given.
func (c *Certifier) digest(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case k := <-c.kept:
			sum, version, err := hashed(ctx, k.snapshot)
			if err != nil {
				c.Logger.Warn("the state at a round was not hashed, so it is not compared with that of the others",
					"round", k.round.Size, "err", err)
				continue
			}
			c.digested.Store(&witness.Digest{Head: k.round, Format: version, Sum: sum})
			ping(c.wake)
		}
	}
}

// hashed returns the SHA-256 of a snapshot and its version, and releases it.
func hashed(ctx context.Context, s *fsm.Snapshot) (sum witness.Hash, version uint64, err error) {
	defer s.Release()
	ctx, cancel := context.WithTimeout(ctx, digestTime)
	defer cancel()
	p := &paced{sha256.New(), ctx, time.Now()}
	if version, err = s.Version(); err == nil {
		err = s.Write(p)
	}
	return witness.Hash(p.Sum(nil)), version, err
}

// paced is a hash that pauses between writes.
type paced struct {
	hash.Hash
	ctx   context.Context
	since time.Time // when the last pause ended
}

func (p *paced) Write(b []byte) (int, error) {
	n, _ := p.Hash.Write(b)
	worked := time.Since(p.since)
	if worked < digestWork {
		return n, p.ctx.Err()
	}
	select {
	case <-p.ctx.Done():
		return n, p.ctx.Err()
	case <-time.After(digestRest * worked):
	}
	p.since = time.Now()
	return n, nil
}
