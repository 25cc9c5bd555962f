package score

import (
	"crypto/ed25519"
	"sync"
)

// maxRemembered is of how many trees a Verifier remembers the nodes: some 18 KB for each of MaxTree events, much less for small ones.
const maxRemembered = 256

// Verifier checks the signatures of events. It remembers the trees that it found to be signed, so that their other events cost a few hashes each;
// what it answers does not depend on that. The zero value is ready. It is safe for concurrent use.
type Verifier struct {
	mu     sync.Mutex
	trees  map[treeKey]*provenTree
	oldest int
	keys   []treeKey // of trees, in a ring
}

type treeKey struct {
	public hash // an Ed25519 key has as many bytes
	head   [ed25519.SignatureSize]byte
	size   int
}

// provenTree is what is known of a tree that is signed. Of a node that is known, its sibling and all nodes above it are, with theirs.
type provenTree struct {
	nodes []hash
	known []bool
}

// Verify tells whether signature is that of the holder of the key for the form (AppendSignedForm).
func (v *Verifier) Verify(public ed25519.PublicKey, form, signature []byte) bool {
	s, err := parseSignature(signature)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return false
	}
	leaf, _ := leafOf(make([]byte, 0, 512), form)
	key := treeKey{hash(public), [ed25519.SignatureSize]byte(s.head), s.size}
	if right, known := v.recall(&key, leaf, &s); known {
		return right
	}
	t := &provenTree{make([]hash, nodesIn(s.size)), make([]bool, nodesIn(s.size))}
	var w way
	t.climb(leaf, &s, &w)
	if !ed25519.Verify(public, treeMessage(s.size, w.top()), s.head) {
		return false
	}
	t.learn(&w, &s)
	v.remember(&key, t)
	return true
}

// recall checks a leaf against a tree that is known; known is false if it is not.
func (v *Verifier) recall(key *treeKey, leaf hash, s *treeSignature) (right, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.trees[*key]
	if t == nil {
		return false, false
	}
	var w way
	if right = t.climb(leaf, s, &w); right {
		t.learn(&w, s)
	}
	return right, true
}

func (v *Verifier) remember(key *treeKey, t *provenTree) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.trees[*key] != nil {
		return
	}
	if v.trees == nil {
		v.trees = make(map[treeKey]*provenTree)
	}
	if len(v.keys) < maxRemembered {
		v.keys = append(v.keys, *key)
	} else {
		delete(v.trees, v.keys[v.oldest])
		v.keys[v.oldest] = *key
		v.oldest = (v.oldest + 1) % maxRemembered
	}
	v.trees[*key] = t
}

// way is the nodes from a leaf up.
type way struct {
	nodes [maxPath + 1]hash
	n     int
}

func (w *way) top() *hash { return &w.nodes[w.n-1] }

// climb goes from a leaf to the root by the audit path. At the first node that is known it stops, and tells whether all that the path says from there on
// is what is known. Without one it answers false, and the root, the top of the way, is for the caller to judge.
func (t *provenTree) climb(leaf hash, s *treeSignature, w *way) (right bool) {
	w.nodes[0], w.n = leaf, 1
	path := s.path
	for at := (spot{width: s.size, index: s.index}); ; at = at.up() {
		node := w.top()
		if t.known[at.place()] {
			return *node == t.nodes[at.place()] && t.agrees(at, path)
		}
		if at.width == 1 {
			return false
		}
		above := &w.nodes[w.n]
		w.n++
		if *above = *node; at.sibling() >= 0 {
			sibling := hash(path)
			*above, path = at.parent(node, &sibling), path[len(sibling):]
		}
	}
}

// agrees tells whether the rest of a path is what is known of the siblings from a known node up.
func (t *provenTree) agrees(at spot, path []byte) bool {
	for ; at.width > 1; at = at.up() {
		if beside := at.sibling(); beside >= 0 {
			if t.nodes[beside] != hash(path) {
				return false
			}
			path = path[len(t.nodes[beside]):]
		}
	}
	return true
}

// learn takes in a way that is right, and the siblings beside it.
func (t *provenTree) learn(w *way, s *treeSignature) {
	path := s.path
	at := spot{width: s.size, index: s.index}
	for i := range w.n {
		if t.known[at.place()] {
			return
		}
		t.nodes[at.place()], t.known[at.place()] = w.nodes[i], true
		if beside := at.sibling(); beside >= 0 {
			t.nodes[beside], t.known[beside] = hash(path), true
			path = path[len(t.nodes[beside]):]
		}
		at = at.up()
	}
}
