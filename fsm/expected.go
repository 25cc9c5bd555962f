package fsm

import (
	"bytes"
	"hash/maphash"
	"sync"

	"laurel/fsm/entry"
	"laurel/trust/access"
)

// expected holds the posts that this frontend has sent on their way into the log, of which
// it has verified the signatures. An entry that has the same bytes needs no second look: the
// signatures depend on nothing but those, the keys and the lineage of the store, which are
// compared, too. A master that alters a post makes it another one.
type expected struct {
	seed maphash.Seed

	mu    sync.Mutex
	posts map[uint64]entry.EncodedPost // by the hash of their bytes
}

func newExpected() *expected {
	return &expected{seed: maphash.MakeSeed(), posts: map[uint64]entry.EncodedPost{}}
}

// Expect takes in a post that is about to enter the log. The caller calls forget when it
// knows the outcome, or waits for it no longer.
func (m *Machine) Expect(p entry.EncodedPost) (forget func()) {
	x := m.expected
	if len(p.Signers) == 0 {
		return func() {}
	}
	hash := maphash.Bytes(x.seed, p.Bytes())
	x.mu.Lock()
	defer x.mu.Unlock()
	x.posts[hash] = p
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.posts, hash) // another post with this hash is only verified twice
	}
}

// has reports whether a post was verified by the keys, and for the store, that access
// control has now.
func (x *expected) has(p *entry.Post, access *access.State) bool {
	if len(p.Events) == 0 || p.Events[0].Key == "" { // few posts are signed in part
		return false
	}
	x.mu.Lock()
	none := len(x.posts) == 0
	x.mu.Unlock()
	if none {
		return false
	}
	hash := maphash.Bytes(x.seed, p.Wire)
	x.mu.Lock()
	known, found := x.posts[hash]
	x.mu.Unlock()
	if !found || !bytes.Equal(known.Bytes(), p.Wire) {
		return false
	}
	for _, s := range known.Signers {
		g := access.Grants[s.Key]
		if g == nil || !bytes.Equal(g.Public, s.Public) || s.Lineage != access.Settings.Lineage {
			return false
		}
	}
	return true
}
