package signing

import (
	"crypto/ed25519"
	"sync"

	"laurel/score"
	"laurel/score/eventsig"
	"laurel/trust/merkle"
)

// maxTrees is the number of trees whose nodes a Verifier keeps: about 18 KB for each tree
// of eventsig.MaxTree events, much less for smaller ones.
const maxTrees = 256

// Verifier verifies the signatures of events. It caches the trees whose signature it has
// verified, so that the other events of a tree cost a few hashes each. The cache does not
// change any result. The zero value is ready for use, and a Verifier is safe for
// concurrent use.
type Verifier struct {
	mu sync.Mutex
	// trees holds the trees whose signatures are valid. If a node is known, then so are
	// its sibling and all nodes above it, with their siblings.
	trees  map[treeKey]knownTree
	checks int
}

// Checks returns how many Ed25519 signatures were checked so far: one for each tree, unless
// it was invalid or has been forgotten.
func (v *Verifier) Checks() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.checks
}

type treeKey struct {
	public  hash // an Ed25519 key is as long as a hash
	lineage string
	ed25519 [ed25519.SignatureSize]byte
	size    int
}

// maxHeight is the number of nodes from a leaf of the largest tree to its root.
const maxHeight = 9

// VerifyEvent returns why the signature of e is not one by the key for the store with the
// lineage, or nil. Then it sets e.VerifiedBy.
func (v *Verifier) VerifyEvent(public ed25519.PublicKey, lineage string, e *score.Event) *score.Problem {
	buf := formBuffers.Get().(*[]byte)
	defer formBuffers.Put(buf)
	form, err := AppendForm((*buf)[:0], e)
	*buf = form
	switch {
	case e.Lineage != lineage:
		return wrongStore(e, lineage)
	case err != nil:
		return Unsignable(e, err)
	case !v.Verify(public, e.Lineage, form, e.Signature):
		return WrongSignature(e, form)
	}
	e.VerifiedBy = public
	return nil
}

var formBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// Verify reports whether sig is the signature of form by the key for the store with
// the lineage. Nothing is signed for a store without one.
func (v *Verifier) Verify(public ed25519.PublicKey, lineage string, form, sig []byte) bool {
	s, err := eventsig.Parse(sig)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return false
	}
	leaf, _ := merkle.LeafHash(make([]byte, 0, 512), form)
	key := treeKey{hash(public), lineage, [ed25519.SignatureSize]byte(s.Ed25519), s.Size}
	if valid, known := v.lookup(&key, leaf, &s); known {
		return valid
	}
	if !score.ValidLineage(lineage) { // nor is it the lineage of a cached tree
		return false
	}
	t := unknownTree(s.Size)
	nodes, _ := t.climb(make([]hash, 0, maxHeight), leaf, s.Index, s.Path)
	valid := ed25519.Verify(public, treeMessage(lineage, s.Size, &nodes[len(nodes)-1]), s.Ed25519)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.checks++
	if valid {
		t.add(nodes, &s)
		v.store(&key, t)
	}
	return valid
}

// lookup verifies a leaf against a cached tree. known is false if the tree is not cached.
func (v *Verifier) lookup(key *treeKey, leaf hash, s *eventsig.Signature) (valid, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.trees[*key]
	if t == nil {
		return false, false
	}
	if t[0][s.Index] == leaf { // half of the leaves are siblings of one that was verified before
		return merkle.Tree(t).HasPath(s.Index, s.Path), true
	}
	nodes, rest := t.climb(make([]hash, 0, maxHeight), leaf, s.Index, s.Path)
	top := len(nodes) - 1
	index := s.Index >> top
	if nodes[top] != t[top][index] || !merkle.Tree(t[top:]).HasPath(index, rest) {
		return false, true
	}
	t.add(nodes, s)
	return true, true
}

// store caches a tree. v.mu must be held.
func (v *Verifier) store(key *treeKey, t knownTree) {
	if v.trees == nil || len(v.trees) >= maxTrees {
		v.trees = make(map[treeKey]knownTree) // it costs little to verify the trees in use once more
	}
	v.trees[*key] = t
}

// add makes the nodes above a valid leaf, and their siblings, known.
func (t knownTree) add(nodes []hash, s *eventsig.Signature) {
	index, path := s.Index, s.Path
	for i, node := range nodes[:len(nodes)-1] {
		t[i][index] = node
		if sibling := index ^ 1; sibling < len(t[i]) {
			t[i][sibling] = hash(path)
			path = path[len(node):]
		}
		index /= 2
	}
	t[len(nodes)-1][index] = nodes[len(nodes)-1]
}
