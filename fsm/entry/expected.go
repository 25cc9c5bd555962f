package entry

import (
	"bytes"
	"hash/maphash"
	"slices"
	"sync"

	"laurel/score"
	"laurel/trust/access"
)

// maxOutcomes bounds the outcomes of one post that are kept. Each comes of an entry that has the
// post: the frontend repeats it if a master is lost.
const maxOutcomes = 8

// Expected holds the posts that this frontend has sent on their way into the log. An entry
// that has the same bytes has that post: a master that alters a post makes it another one.
type Expected struct {
	seed maphash.Seed

	mu    sync.Mutex
	posts map[uint64]*Own // by the hash of their bytes
}

// Own is a post that this frontend has sent on its way into the log, and what became of it in
// this frontend's own state. A nil Own is a post of which nothing is noted.
type Own struct {
	EncodedPost
	in   *Expected
	hash uint64

	// in.mu guards the following fields.
	callers  int // of Add
	outcomes [][]score.Result
	lost     bool          // there may be others
	changed  chan struct{} // closed when the next one is noted; nil while nobody waits
}

// NewExpected returns one that holds no posts.
func NewExpected() *Expected {
	return &Expected{seed: maphash.MakeSeed(), posts: map[uint64]*Own{}}
}

// Add takes in a post that is about to enter the log, if all its events are signed. The caller
// calls Forget when it knows the outcome, or waits for it no longer.
func (x *Expected) Add(p EncodedPost) *Own {
	if !p.signed {
		return nil
	}
	hash := maphash.Bytes(x.seed, p.Bytes())
	x.mu.Lock()
	defer x.mu.Unlock()
	o := x.posts[hash]
	switch {
	case o == nil:
		o = &Own{EncodedPost: p, in: x, hash: hash}
		x.posts[hash] = o
	case !bytes.Equal(o.Bytes(), p.Bytes()): // as good as never
		return nil
	}
	o.callers++
	return o
}

// Forget ends a call of Add.
func (o *Own) Forget() {
	if o == nil {
		return
	}
	o.in.mu.Lock()
	defer o.in.mu.Unlock()
	if o.callers--; o.callers == 0 {
		delete(o.in.posts, o.hash)
	}
}

// Find returns the post of this frontend that an entry has; nil if it is none.
func (x *Expected) Find(p *Post) *Own {
	if len(p.Events) == 0 || p.Events[0].Key == "" {
		return nil
	}
	x.mu.Lock()
	none := len(x.posts) == 0
	x.mu.Unlock()
	if none {
		return nil
	}
	hash := maphash.Bytes(x.seed, p.Wire)
	x.mu.Lock()
	o := x.posts[hash]
	x.mu.Unlock()
	if o == nil || !bytes.Equal(o.Bytes(), p.Wire) {
		return nil
	}
	return o
}

// Verified reports whether this frontend has verified the signatures by the keys, and for the
// store, that access control has now. They depend on nothing else but the bytes, and need no
// second look.
func (o *Own) Verified(access *access.State) bool {
	if o == nil || len(o.Signers) == 0 {
		return false
	}
	for _, s := range o.Signers {
		g := access.Grants[s.Key]
		if g == nil || !bytes.Equal(g.Public, s.Public) || s.Lineage != access.Settings.Lineage {
			return false
		}
	}
	return true
}

// Note notes what became of the post when an entry was applied. It is called before the
// revision after that entry is visible.
func (o *Own) Note(results []score.Result) {
	if o == nil {
		return
	}
	o.in.mu.Lock()
	defer o.in.mu.Unlock()
	if o.lost = o.lost || len(o.outcomes) == maxOutcomes; !o.lost {
		o.outcomes = append(o.outcomes, results)
	}
	o.wake()
}

// Lose notes that entries are skipped, because a snapshot has what they did.
func (x *Expected) Lose() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, o := range x.posts {
		o.lost = true
		o.wake()
	}
}

func (o *Own) wake() {
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

// Came reports whether the post came to these results in this frontend's own state. known is
// false if that is no longer known.
func (o *Own) Came(results []score.Result) (so, known bool) {
	o.in.mu.Lock()
	defer o.in.mu.Unlock()
	for _, own := range o.outcomes {
		if slices.EqualFunc(own, results, sameResult) {
			return true, true
		}
	}
	return false, !o.lost
}

// Changed returns a channel that is closed when there is more to know.
func (o *Own) Changed() <-chan struct{} {
	o.in.mu.Lock()
	defer o.in.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.changed
}

// sameResult reports whether two results tell a bard the same.
func sameResult(a, b score.Result) bool {
	if (a.Problem == nil) != (b.Problem == nil) || a.Problem != nil && a.Problem.Code != b.Problem.Code {
		return false
	}
	return a.ID == b.ID && a.Seq == b.Seq && a.Revision == b.Revision && a.Status == b.Status
}
