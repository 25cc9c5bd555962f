package cache

import "sync"

// Feed tells which answers readers may see anew. It keeps names and not values, so its memory is bounded by what there is, however slow
// whoever takes from it. Its methods are safe for concurrent use.
type Invalidations struct {
	wake chan struct{}

	mu       sync.Mutex
	names    map[string]struct{}
	all      bool
	revision uint64
}

// Invalidated is what a Feed gives.
type Invalidated struct {
	// Names are keys of records and tags. All says that anything may have changed: there was a time without a session.
	Names []string
	All   bool
	// Revision is R.
	Revision uint64
}

// NewInvalidations makes a feed of which nothing is known yet.
func NewInvalidations() *Invalidations {
	return &Invalidations{wake: make(chan struct{}, 1), names: map[string]struct{}{}}
}

// Wake gets a value when there is something to take.
func (f *Invalidations) Wake() <-chan struct{} { return f.wake }

// Take is what has changed since the last call.
func (f *Invalidations) Take() Invalidated {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := Invalidated{All: f.all, Revision: f.revision, Names: make([]string, 0, len(f.names))}
	for name := range f.names {
		c.Names = append(c.Names, name)
	}
	clear(f.names)
	f.all = false
	return c
}

// Tell notes that names may have changed.
func (f *Invalidations) Add(names []string, all bool, revision uint64) {
	f.mu.Lock()
	for _, name := range names {
		f.names[name] = struct{}{}
	}
	f.all = f.all || all
	f.revision = max(f.revision, revision)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// named is what a push named and readers may not see yet. All stands for what was pushed before the session began, of which nobody knows the names here.
type named struct {
	to    uint64
	names []string
	all   bool
}

// names are all that a push says to have changed.
func (p *Push) names() []string {
	names := make([]string, 0, len(p.Records)+len(p.Stale))
	for i := range p.Records {
		names = append(names, p.Records[i].Key)
	}
	return append(names, p.Stale...)
}

// feedReleased tells the feed of the pushes that may be seen now. s.mu must be held.
func (s *session) feedReleased(revision uint64) {
	done := 0
	for done < len(s.unseen) && s.unseen[done].to <= revision {
		s.feed.Add(s.unseen[done].names, s.unseen[done].all, s.unseen[done].to)
		done++
	}
	s.unseen = s.unseen[done:]
}
