package watch

import (
	"context"

	"laurel/cache"
	"laurel/score/ranking"
)

// Event is an event of a timeline, encoded as JSON.
type Event struct {
	Revision uint64
	Body     []byte
}

// Store is the part of a frontend that the hub reads. Its answers are what any client may
// see at that moment. An error means that the frontend cannot answer now.
type Store interface {
	// ID identifies the store. Revisions of different stores are unrelated.
	ID() string
	// Record returns the record with the given key. Body is nil if there is none.
	Record(ctx context.Context, key string) (*cache.Entry, error)
	// Events returns at most limit of a contest's events after a revision, in order. If
	// it returns fewer than limit, there are no more.
	Events(ctx context.Context, contestID string, after uint64, limit int) ([]Event, error)
	// Keys returns the keys of a competition's records, or of all records for "".
	Keys(ctx context.Context, competition string) ([]string, error)
	// Board returns the rows of a window and the revision that last changed them. The
	// page has no rows if there is no such leaderboard or its competitor has no mark
	// yet. The error for a split that the contest does not have is a *score.Problem.
	Board(ctx context.Context, w *Window) (p ranking.Page, revision uint64, err error)
	// Ordered reports whether Record and Events include everything up to the last
	// invalidation's revision. In pull mode they do not: each answer has its own age, so an
	// event id cannot state what its watcher has received.
	Ordered() bool
	// Invalidations returns the queue of changed names. The hub is its only consumer.
	Invalidations() *cache.Invalidations
	// Heartbeat returns the data of a heartbeat, or nil while this frontend does not
	// know the current state. Without heartbeats watchers move to another frontend.
	Heartbeat(revision uint64) []byte
}
