package watch

import (
	"context"

	"laurel/cache"
	"laurel/score/ranking"
)

// Event is one event of a timeline, as JSON.
type Event struct {
	Revision uint64
	Body     []byte
}

// Store is what the hub needs of the frontend. What it gives is what anybody may see at the time; an error says that this frontend cannot tell now.
type Store interface {
	// ID names the store: revisions of two stores have nothing in common.
	ID() string
	// Record is the answer to a record's key; its Body is nil if there is no such record.
	Record(ctx context.Context, key string) (*cache.Entry, error)
	// Events are a contest's events behind a revision, in order. There are more if they reach limit.
	Events(ctx context.Context, contestID string, after uint64, limit int) ([]Event, error)
	// Keys are the keys of a competition's records, or of all for "".
	Keys(ctx context.Context, competition string) ([]string, error)
	// Board is what a window shows, and the revision that last changed it. Where there is no such board, or no mark yet of the competitor that it is
	// around, it has no rows. A split that the contest does not have is a *score.Problem.
	Board(ctx context.Context, w *Window) (p ranking.Page, revision uint64, err error)
	// Ordered tells whether Record and Events have everything up to the feed's revision. In pull mode each answer has its own age: then an id
	// cannot say what its watcher has.
	Ordered() bool
	// Feed tells what has changed. The hub is its one taker.
	Invalidations() *cache.Invalidations
	// Beat is the data of a heartbeat; nil while this frontend cannot tell what is true. Then there is none, and watchers go elsewhere.
	Beat(revision uint64) []byte
}
