package signing

import (
	"crypto/ed25519"
	"sync"

	"laurel/score"
)

// maxTrees is the number of trees whose nodes a Verifier keeps: about 18 KB for each tree
// of score.MaxTree events, much less for smaller ones.
const maxTrees = 256

// Verifier verifies the signatures of events. It caches the trees whose signature it has
// verified, so that the other events of a tree cost a few hashes each. The cache does not
// change any result. The zero value is ready for use, and a Verifier is safe for
// concurrent use.
type Verifier struct {
	mu     sync.Mutex
	trees  map[treeKey]*provenTree
	oldest int
	keys   []treeKey // of trees, as a ring that begins at oldest
}

type treeKey struct {
	public  hash // an Ed25519 key is as long as a hash
	ed25519 [ed25519.SignatureSize]byte
	size    int
}

// provenTree holds the known nodes of a tree whose signature is valid. If a node is
// known, then so are its sibling and all nodes above it, with their siblings.
type provenTree struct {
	nodes []hash
	known []bool
}

// maxHeight is the number of nodes from a leaf of the largest tree to its root.
const maxHeight = 9

// VerifyEvent returns why the signature of e is not one by the key, or nil.
func (v *Verifier) VerifyEvent(public ed25519.PublicKey, e *score.Event) *score.Problem {
	form, err := Form(e)
	switch {
	case err != nil:
		return Unsignable(e, err)
	case !v.Verify(public, form, e.Signature):
		return WrongSignature(e, form)
	}
	return nil
}

// Verify reports whether signature is the signature of form by the key.
func (v *Verifier) Verify(public ed25519.PublicKey, form, signature []byte) bool {
	s, err := score.ParseSignature(signature)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return false
	}
	leaf, _ := leafHash(make([]byte, 0, 512), form)
	key := treeKey{hash(public), [ed25519.SignatureSize]byte(s.Ed25519), s.Size}
	if valid, known := v.lookup(&key, leaf, &s); known {
		return valid
	}
	t := &provenTree{make([]hash, countNodes(s.Size)), make([]bool, countNodes(s.Size))}
	path, _ := t.verifyPath(make([]hash, 0, maxHeight), leaf, &s)
	if !ed25519.Verify(public, treeMessage(s.Size, &path[len(path)-1]), s.Ed25519) {
		return false
	}
	t.add(path, &s)
	v.store(&key, t)
	return true
}

// lookup verifies a leaf against a cached tree. known is false if the tree is not cached.
func (v *Verifier) lookup(key *treeKey, leaf hash, s *score.Signature) (valid, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.trees[*key]
	if t == nil {
		return false, false
	}
	path, valid := t.verifyPath(make([]hash, 0, maxHeight), leaf, s)
	if valid {
		t.add(path, s)
	}
	return valid, true
}

// store caches a tree, in the place of the oldest one if the cache is full.
func (v *Verifier) store(key *treeKey, t *provenTree) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.trees[*key] != nil {
		return
	}
	if v.trees == nil {
		v.trees = make(map[treeKey]*provenTree)
	}
	if len(v.keys) < maxTrees {
		v.keys = append(v.keys, *key)
	} else {
		delete(v.trees, v.keys[v.oldest])
		v.keys[v.oldest] = *key
		v.oldest = (v.oldest + 1) % maxTrees
	}
	v.trees[*key] = t
}

// verifyPath appends to path the nodes from a leaf towards the root, which it computes by
// the audit path. It stops at the first known node and reports whether that node and the
// rest of the audit path agree with the tree. If no node is known, it returns false, and
// path ends with the root, which the caller verifies.
func (t *provenTree) verifyPath(path []hash, leaf hash, s *score.Signature) (_ []hash, valid bool) {
	node, rest := leaf, s.Path
	for pos := (nodePos{width: s.Size, index: s.Index}); ; pos = pos.parent() {
		path = append(path, node)
		if t.known[pos.number()] {
			return path, node == t.nodes[pos.number()] && t.agrees(pos, rest)
		}
		if pos.width == 1 {
			return path, false
		}
		if pos.sibling() >= 0 {
			sibling := hash(rest)
			node, rest = pos.join(&node, &sibling), rest[len(sibling):]
		}
	}
}

// agrees reports whether the rest of an audit path equals the known siblings from a known
// node up.
func (t *provenTree) agrees(pos nodePos, rest []byte) bool {
	for ; pos.width > 1; pos = pos.parent() {
		if sibling := pos.sibling(); sibling >= 0 {
			if t.nodes[sibling] != hash(rest) {
				return false
			}
			rest = rest[len(t.nodes[sibling]):]
		}
	}
	return true
}

// add adds the nodes of a valid path and their siblings to the known ones.
func (t *provenTree) add(path []hash, s *score.Signature) {
	rest := s.Path
	pos := nodePos{width: s.Size, index: s.Index}
	for _, node := range path {
		if t.known[pos.number()] {
			return
		}
		t.nodes[pos.number()], t.known[pos.number()] = node, true
		if sibling := pos.sibling(); sibling >= 0 {
			t.nodes[sibling], t.known[sibling] = hash(rest), true
			rest = rest[len(t.nodes[sibling]):]
		}
		pos = pos.parent()
	}
}
