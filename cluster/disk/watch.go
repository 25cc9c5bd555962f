package disk

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// slack is the room for what may be under way until the master refuses posts: it
	// hears of a lack of room within a second.
	slack = 64 << 20
	// lookEvery is how often the room is measured, and maxAge how old a measurement may be
	// that is reported.
	lookEvery = time.Second
	maxAge    = 100 * time.Millisecond
)

// State is the room on the disk of a member.
type State struct {
	Free int64 `json:"free_bytes"`
	Room bool  `json:"room"` // it has room for posts
}

// Needs are what a member needs on its disk, in bytes.
type Needs struct {
	Snapshot int64 // the size of the next snapshot, without which the log does not shrink
	Most     int64 // what it may need at most until then
}

// posts returns the room without which there must be no more posts.
func (n Needs) posts() int64 { return slack + n.Snapshot }

// again returns the room with which there may be posts again. It is larger, so that a disk
// at the limit does not begin and end them in turn.
func (n Needs) again() int64 { return n.posts() + n.posts()/4 }

// Watch watches the room on the disk of a data directory. It is safe for concurrent use.
type Watch struct {
	Dir     string
	Free    func(dir string) (int64, error)
	Needs   func() Needs
	Reserve *Reserve
	Scarce  func() // called when there is no more room for posts
	Logger  *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	state   *State // nil if it is not known
	needs   Needs
	asked   time.Time // when Needs was called last: it reads directories
	low     bool      // there is less room than Needs.Most
	refused bool      // the reserve could not be filled
}

// Run measures the room every so often until ctx ends.
func (w *Watch) Run(ctx context.Context, scale func(time.Duration) time.Duration) {
	tick := time.NewTicker(scale(lookEvery))
	defer tick.Stop()
	for {
		w.Look()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Look returns the room on the disk; nil if it is not known. It may be some milliseconds
// old.
func (w *Watch) Look() *State {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.looked.IsZero() && time.Since(w.looked) < maxAge {
		return w.state
	}
	free, err := w.Free(w.Dir)
	w.looked = time.Now()
	if err != nil {
		w.state = nil
		return nil
	}
	if w.asked.IsZero() || time.Since(w.asked) >= lookEvery {
		w.needs, w.asked = w.Needs(), w.looked
	}
	needs := w.needs
	room := free >= needs.posts()
	if w.state != nil && !w.state.Room {
		room = free >= needs.again()
	}
	w.note(free, needs, room)
	w.state = &State{Free: free, Room: room}
	if missing := w.Reserve.missing(); missing > 0 && free >= needs.again()+missing {
		w.fill()
	}
	return w.state
}

// note logs what has changed, and calls Scarce.
func (w *Watch) note(free int64, needs Needs, room bool) {
	had := w.state == nil || w.state.Room
	log := w.Logger.With("dir", w.Dir, "free_bytes", free)
	switch {
	case had && !room:
		log.Error("the disk has too little room for posts: "+
			"the group refuses them when too few voters have room; make room",
			"need_bytes", needs.posts())
		w.Scarce()
	case !had && room:
		log.Info("the disk has room for posts again")
	}
	if free < needs.Most && !w.low && room {
		log.Warn("the disk may become full: it has less room than log, snapshot and database may need; make room",
			"need_bytes", needs.Most)
	}
	w.low = free < needs.Most
}

// fill fills the reserve, and logs the first failure.
func (w *Watch) fill() {
	err := w.Reserve.fill()
	if err != nil && !w.refused {
		w.Logger.Warn("no room could be kept aside for a full disk", "dir", w.Dir, "err", err)
	}
	w.refused = err != nil
}
