package watch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"laurel/cache"
	"laurel/score"
)

const (
	// maxRecords bounds the records that a stream begins with.
	maxRecords = 200_000
	// pageBytes is how many bytes are written to a watcher at once, and one item more.
	pageBytes = 256 << 10
	// partBytes is how many of them the client must take within SlowWriteTimeout.
	partBytes = 64 << 10
	// A page holds as many bytes while it is made, because its length is not known before.
	// Then it holds its length. Timelines are read in pages of their own.
	recordsHold   = 2 * pageBytes
	timelinesHold = 4 << 20
	// nameBytes is about what the name and the revision of a record take.
	nameBytes = 32
	// beginTimeout bounds the time until the first page is written, and SlowWriteTimeout
	// that between two others. beginPoll is how often a frontend that cannot answer is
	// asked again within it: a lost master has a successor in a moment.
	beginTimeout = 3 * time.Second
	beginPoll    = 20 * time.Millisecond
	// maxRoomPoll is the longest time between two attempts to hold memory, of which the first
	// are beginPoll apart: when a frontend dies, thousands of streams begin at another one.
	maxRoomPoll = 320 * time.Millisecond
	// maxNowChanges is the number of changed records above which a stream with Subjects.Now
	// begins again in place of resuming: what it begins with is smaller.
	maxNowChanges = 100
)

var (
	// ErrTooManyRecords is returned when the subjects have more records than one stream
	// carries.
	ErrTooManyRecords = fmt.Errorf("more than %d records", maxRecords)
	// ErrNoMemory is returned when the client's Memory had no room for a page in time.
	ErrNoMemory = errors.New("too much is held for clients that have not read it")
	// ErrNotPermitted is returned when the client may not watch any longer.
	ErrNotPermitted = errors.New("the watcher is no longer permitted")

	// errBehind means that a stream cannot resume, but must begin with a snapshot.
	errBehind = errors.New("too far behind to resume")
)

// Begin passes the beginning of w's stream to write, part by part: a snapshot in one or
// more events or, if lastID states what the client has received already, the changes
// since. From its end on the watcher misses no change. write is called at least once.
// Before that, the error is one of the store, ErrTooManyRecords, ErrNoMemory or
// ErrNotPermitted.
func (h *Hub) Begin(ctx context.Context, w *Watcher, lastID string, write func(page []byte) error) error {
	return h.begin(ctx, w, lastID, beginTimeout, write)
}

func (h *Hub) begin(
	ctx context.Context, w *Watcher, lastID string, timeout time.Duration, write func([]byte) error,
) error {
	b := &beginning{Hub: h, w: w, client: ctx, write: write, latest: map[string]uint64{}}
	defer func() { b.hold(0) }()
	if err := b.newPage(timeout); err != nil {
		return err
	}
	defer func() { b.cancel() }()
	err := b.ask(func(context.Context) error {
		if b.incarnation, b.former = h.store.Incarnation(); b.incarnation == "" {
			return cache.ErrNotLeased
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range w.windows {
		err := b.ask(func(ctx context.Context) error { return h.refresh(ctx, w.windows[i].window, false) })
		if err != nil {
			return err
		}
	}
	err = errBehind
	if received, ok := parsePosition(b.incarnation, lastID); ok && h.store.Ordered() {
		b.received = received
		err = b.resume()
	}
	if errors.Is(err, errBehind) {
		err = b.snapshot()
	}
	if err != nil {
		return err
	}
	b.appendHeartbeat()
	return b.send()
}

// beginning writes the beginning of one stream.
type beginning struct {
	*Hub
	w      *Watcher
	client context.Context
	write  func([]byte) error

	ctx    context.Context // of the page that is being made
	cancel context.CancelFunc
	page   []byte
	held   int // bytes, of the client's memory

	incarnation string
	former      []string // the incarnations before
	received    position // what a client that resumes has
	start       uint64   // the beginning has everything up to this revision
	// latest is the last event of each timeline that is in the beginning.
	latest map[string]uint64
	// names are the records that are watched, in order, and revisions those of the records
	// that the beginning has.
	names     []string
	revisions []uint64
	closing   []byte // what closes the last frame if another follows
	sections  []byte // the numbers of contests, with Subjects.Now

	// Of the event snapshot that is being written: whether there is one, its present list,
	// and whether that has an element.
	open     bool
	list     int
	elements bool
}

// newPage begins a page once the client's memory has room for it.
func (b *beginning) newPage(timeout time.Duration) error {
	b.ctx, b.cancel = context.WithTimeout(b.client, timeout)
	n := recordsHold
	if len(b.w.subjects.Timelines) > 0 {
		n = timelinesHold
	}
	if !awaitRoom(b.ctx, b.w.client.Memory, n) {
		b.cancel()
		return ErrNoMemory
	}
	b.held = n
	return nil
}

// awaitRoom holds n bytes once there is room for them. It reports false if ctx ended
// before.
func awaitRoom(ctx context.Context, m Memory, n int) bool {
	for poll := beginPoll; !m.Hold(n); poll = min(2*poll, maxRoomPoll) {
		if !sleep(ctx, poll) {
			return false
		}
	}
	return true
}

// hold changes how many bytes are held.
func (b *beginning) hold(n int) {
	b.w.client.Memory.Resize(b.held, n)
	b.held = n
}

// send writes the page.
func (b *beginning) send() error {
	b.hold(max(1, cap(b.page)+len(b.names)*nameBytes))
	b.cancel()
	for page := b.page; ; {
		part := page[:min(len(page), partBytes)]
		page = page[len(part):]
		switch {
		case !b.w.permitted():
			return ErrNotPermitted
		case b.hasIncarnated() || b.w.isClosed():
			// Nothing of one store may follow something of another.
			return cache.ErrNotLeased
		}
		if err := b.write(part); err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
	}
	b.page = nil
	b.hold(0)
	return nil
}

// flush writes the page if it is full, and begins another one.
func (b *beginning) flush() error {
	if len(b.page) < pageBytes {
		return nil
	}
	if err := b.send(); err != nil {
		return err
	}
	return b.newPage(b.slowWrite)
}

// ask calls f until the frontend can answer.
func (b *beginning) ask(f func(ctx context.Context) error) error {
	for {
		err := f(b.ctx)
		switch {
		case err == nil:
			return nil
		case b.ctx.Err() != nil && b.client.Err() == nil && score.CodeOf(err) == "":
			return cache.ErrNotLeased // it took too long
		case !errors.Is(err, cache.ErrNotLeased) && score.CodeOf(err) != score.NoMaster:
			return err
		case !sleep(b.ctx, beginPoll):
			return err
		}
	}
}

// sleep waits for d. It reports false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// catchUp calls add for each page of the events of the watched timelines. At its end the
// watcher listens, and has them all. It does not listen while most of them are read, or
// what comes meanwhile would wait for a client that takes them slowly. Events that can be
// read may not have been dispatched yet: the watcher listens once they are.
func (b *beginning) catchUp(add func(timeline string, page []Event) error) error {
	b.mu.Lock()
	b.unlisten(b.w)
	b.mu.Unlock()
	if err := b.timelines(math.MaxUint64, add); err != nil {
		return err
	}
	read := uint64(0)
	for _, revision := range b.latest {
		read = max(read, revision)
	}
	if b.store.Ordered() {
		if err := b.await(b.ctx, func() bool { return b.dispatching >= read }); err != nil {
			return err
		}
	}
	b.start = b.listen(b.w)
	return b.timelines(b.start, add)
}

// timelines calls add for each page of the events, up to a revision, that are not in the
// beginning yet.
func (b *beginning) timelines(upTo uint64, add func(timeline string, page []Event) error) error {
	for _, id := range b.w.subjects.Timelines {
		if err := b.eventsUpTo(id, upTo, add); err != nil {
			return err
		}
	}
	return nil
}

func (b *beginning) eventsUpTo(contest string, upTo uint64, add func(timeline string, page []Event) error) error {
	timeline := cache.TimelineTag(contest)
	for more := true; more; {
		var page []Event
		err := b.ask(func(ctx context.Context) (err error) {
			page, more, err = b.eventPage(ctx, contest, b.latest[timeline], upTo)
			return err
		})
		if err != nil {
			return err
		}
		if len(page) > 0 {
			b.latest[timeline] = page[len(page)-1].Revision
		}
		if err := add(timeline, page); err != nil {
			return err
		}
	}
	return nil
}

// findNames sets the names of the records that are watched, and returns those that are
// there already.
func (b *beginning) findNames() (ready map[string]*cache.Entry, err error) {
	topics := b.w.subjects.topics()
	if b.w.subjects.Now {
		topics = slices.DeleteFunc(topics, func(topic string) bool {
			return topic == competitionTopic || topic == nowTopic
		})
	}
	err = b.ask(func(ctx context.Context) (err error) {
		if b.names, err = b.expand(ctx, topics); err != nil || !b.w.subjects.Now {
			return err
		}
		now, err := b.store.Now(ctx)
		if err == nil {
			b.names = append(b.names, now.Keys...)
			b.sections, ready = now.Sections, now.Records
		}
		return err
	})
	b.names = slices.DeleteFunc(b.names, func(name string) bool {
		_, isRecord := competitionOf(name)
		return !isRecord
	})
	slices.Sort(b.names)
	b.names = slices.Compact(b.names)
	if err == nil && len(b.names) > maxRecords {
		err = ErrTooManyRecords
	}
	return ready, err
}

// readRecords calls add for each record of names, which are in order. The body of an entry
// is nil if there is no such record.
func (b *beginning) readRecords(ready map[string]*cache.Entry, add func(key string, e *cache.Entry) error) error {
	b.revisions = make([]uint64, len(b.names))
	for i, name := range b.names {
		e := ready[name]
		err := b.ask(func(ctx context.Context) (err error) {
			if e == nil {
				e, err = b.store.Record(ctx, name)
			}
			return err
		})
		if err != nil {
			return err
		}
		b.revisions[i] = e.Revision
		if !b.store.Ordered() {
			b.isNewest(name, e.Revision) // those to come are compared with it
		}
		if err := add(name, e); err != nil {
			return err
		}
	}
	return nil
}

// appendHeartbeat tells the client that the stream has begun, and which frontend sends it.
// One that resumes may get nothing else.
func (b *beginning) appendHeartbeat() {
	if data := b.store.Heartbeat(b.start); data != nil {
		b.page = append(b.page, heartbeatFrame(data).bytes...)
		b.page = append(b.appendID(b.page, position{b.start, b.start}), '\n')
	}
}

// frame appends a frame, without the lines that close it.
func (b *beginning) frame(f *frame) {
	b.page = append(append(b.page, b.closing...), f.bytes...)
	b.closing = b.closing[:0]
	if f.keep {
		b.closing = b.appendID(b.closing, position{b.received.records, f.revision})
	}
	b.closing = append(b.closing, '\n')
}

// end ends the last page by what f appends, with b.w.mu held.
//
// A dispatch that is under way may have fetched a record before a newer one was read for
// the beginning. Once it has ended, its frames are pending, and are dropped. Later
// dispatches fetch nothing older than what was read.
func (b *beginning) end(f func()) error {
	b.mu.Lock()
	begun := b.begun
	b.mu.Unlock()
	if err := b.await(b.ctx, func() bool { return b.ended >= begun }); err != nil {
		return err
	}
	w := b.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropLocked(b.isOlder)
	for timeline, revision := range b.latest {
		w.latest[timeline] = max(w.latest[timeline], revision)
	}
	f()
	return nil
}

// isOlder reports whether the beginning has f, or something newer.
func (b *beginning) isOlder(f *frame) bool {
	if f.keep {
		return f.revision <= b.latest[f.key]
	}
	i, ok := slices.BinarySearch(b.names, f.key)
	return ok && f.revision <= b.revisions[i]
}
