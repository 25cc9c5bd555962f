package watch

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"laurel/cache"
	"laurel/score"
)

const (
	// maxFetches bounds the answers that one dispatch fetches at once.
	maxFetches = 16
	// fetchTimeout bounds the time for one dispatch.
	fetchTimeout = 5 * time.Second
	// maxReread bounds the answers that are read again when it is not known which have
	// changed.
	maxReread = 10_000
)

// change is a changed name that somebody watches, with the frames to send.
type change struct {
	name     string
	watchers []*Watcher
	frames   []*frame
}

// dispatch fetches what has changed and queues it for its watchers.
func (h *Hub) dispatch(c cache.Invalidated) error {
	ctx, cancel := context.WithTimeout(h.ctx, fetchTimeout)
	defer cancel()
	h.mu.Lock()
	// A watcher that is added from now on begins at this revision or later. So the topics
	// may lack it: its beginning has all that this dispatch is for.
	h.dispatching = max(h.dispatching, c.Revision)
	h.mu.Unlock()
	if c.All {
		names, err := h.mayHaveChanged(ctx, c.Revision)
		if err != nil {
			return err
		}
		c.Names = append(c.Names, names...)
	}
	h.mu.Lock()
	from := h.delivered
	h.begun++
	defer h.endDispatch()
	changes := h.watched(c.Names)
	h.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxFetches)
	for _, one := range changes {
		group.Go(func() error { return h.fetch(ctx, one, from, c.Revision) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	h.deliver(changes, c.Revision)
	return nil
}

// watched returns the changes of those names that somebody watches, in order and each once.
// h.mu must be held.
func (h *Hub) watched(names []string) (changes []*change) {
	if len(h.topics) == 0 {
		return nil
	}
	for _, name := range names {
		if list := h.watchersOf(name); len(list) > 0 {
			changes = append(changes, &change{name: name, watchers: list})
		}
	}
	slices.SortFunc(changes, func(a, b *change) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(changes, func(a, b *change) bool { return a.name == b.name })
}

// mayHaveChanged returns the names that are watched and may have changed since the last
// dispatch, up to a revision.
func (h *Hub) mayHaveChanged(ctx context.Context, upTo uint64) ([]string, error) {
	h.mu.Lock()
	topics, from := slices.Collect(maps.Keys(h.topics)), h.delivered
	h.mu.Unlock()
	var keys []string
	known, ordered := false, h.store.Ordered()
	if ordered {
		var err error
		if keys, known, err = h.store.ChangedSince(ctx, from, upTo); err != nil {
			return nil, err
		}
	}
	isCompetition := func(topic string) bool { return strings.HasPrefix(topic, competitionTopic) }
	others := slices.DeleteFunc(slices.Clone(topics), func(topic string) bool {
		return topic == nowTopic || isCompetition(topic)
	})
	switch {
	case known:
		return append(keys, others...), nil
	case ordered && from > 0:
		// Contests may have been removed, of which nothing tells which those were.
		h.removeWatchers(slices.DeleteFunc(topics, func(topic string) bool { return !isCompetition(topic) }))
		return others, nil
	}
	names, err := h.expand(ctx, topics)
	if len(names) > maxReread {
		h.removeWatchers(topics)
		return nil, err
	}
	return names, err
}

// removeWatchers ends the streams of topics. They come back and begin again.
func (h *Hub) removeWatchers(topics []string) {
	watchers := watcherSet{}
	h.mu.Lock()
	for _, topic := range topics {
		maps.Copy(watchers, h.topics[topic])
	}
	h.mu.Unlock()
	for w := range watchers {
		h.Remove(w)
	}
}

// watchersOf returns the watchers of a name, each once. h.mu must be held.
func (h *Hub) watchersOf(name string) []*Watcher {
	direct := h.topics[name]
	list := slices.Collect(maps.Keys(direct))
	competition, isRecord := competitionOf(name)
	if !isRecord {
		return list
	}
	for _, topic := range []string{competitionTopic + competition, competitionTopic} {
		for w := range h.topics[topic] {
			if !direct[w] {
				list = append(list, w)
			}
		}
	}
	return list
}

// competitionOf returns the competition that the record with the given key belongs to.
func competitionOf(key string) (competition string, isRecord bool) {
	kind, rest, _ := strings.Cut(key, "/")
	switch kind {
	case "scores":
		return score.CompetitionOf(rest), true
	case "medals":
		return rest, true
	}
	return "", false
}

// fetch sets the frames of a change: what is newer than from. It leaves out events after
// to, because their timeline will be invalidated again.
func (h *Hub) fetch(ctx context.Context, c *change, from, to uint64) error {
	if contest, ok := strings.CutPrefix(c.name, "timeline/"); ok {
		for more := true; more; {
			var page []Event
			var err error
			if page, more, err = h.eventPage(ctx, contest, from, to); err != nil {
				return err
			}
			for _, e := range page {
				c.frames = append(c.frames, eventFrame(c.name, e))
				from = e.Revision
			}
		}
		return nil
	}
	if c.name == nowTopic {
		return h.fetchNow(ctx, c)
	}
	e, err := h.store.Record(ctx, c.name)
	if err != nil {
		return err
	}
	if f := recordFrame(c.name, e); f != nil && f.revision > from {
		c.frames = append(c.frames, f)
	}
	return nil
}

// fetchNow sets the frames of the records of Now that have changed since the last call, and
// of those that have left it since: they are finished, postponed or removed.
func (h *Hub) fetchNow(ctx context.Context, c *change) error {
	now, err := h.store.Now(ctx)
	if err != nil {
		return err
	}
	polled := make(map[string]uint64, len(now.Keys))
	for _, key := range now.Keys {
		e := now.Records[key]
		if polled[key] = e.Revision; h.polled[key] != e.Revision {
			c.frames = append(c.frames, recordFrame(key, e)) // Now has only records that exist
		}
	}
	for key := range h.polled {
		if _, stays := polled[key]; stays {
			continue
		}
		e, err := h.store.Record(ctx, key)
		if err != nil {
			return err
		}
		if f := recordFrame(key, e); f != nil {
			c.frames = append(c.frames, f)
		}
	}
	h.polled = polled
	return nil
}

// eventPage returns a page of the events of a contest after revision from, up to revision
// to, and whether others follow. In pull mode it returns those after to as well: their
// timeline may not be invalidated again.
func (h *Hub) eventPage(ctx context.Context, contest string, from, to uint64) (page []Event, more bool, err error) {
	page, more, err = h.store.Events(ctx, contest, from)
	if err != nil || !h.store.Ordered() {
		return page, more, err
	}
	if i := slices.IndexFunc(page, func(e Event) bool { return e.Revision > to }); i >= 0 {
		return page[:i], false, nil
	}
	return page, more, nil
}

// deliver queues the frames of a dispatch. Each watcher gets all of its frames at once:
// if a write came between them, its event id would claim frames that are still missing.
func (h *Hub) deliver(changes []*change, revision uint64) {
	if !h.store.Ordered() {
		for _, c := range changes {
			c.frames = slices.DeleteFunc(c.frames, func(f *frame) bool {
				return !f.keep && !h.isNewest(f.key, f.revision)
			})
		}
	}
	deliver := func(w *Watcher, frames []*frame) {
		if !w.deliver(frames, revision) {
			h.Remove(w)
		}
	}
	if len(changes) == 1 {
		for _, w := range changes[0].watchers {
			deliver(w, changes[0].frames)
		}
	} else {
		frames := map[*Watcher][]*frame{}
		for _, c := range changes {
			for _, w := range c.watchers {
				frames[w] = append(frames[w], c.frames...)
			}
		}
		for w, list := range frames {
			deliver(w, list)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delivered = max(h.delivered, revision)
}

// isNewest reports whether no watcher has been sent a newer value of a record, which is now
// sent. In pull mode a record is in several answers, of which each has its own age.
func (h *Hub) isNewest(key string, revision uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i, _ := h.store.Incarnation(); h.newest == nil || i != h.newestOf {
		h.newest, h.newestOf = map[string]uint64{}, i
	}
	if revision < h.newest[key] {
		return false
	}
	h.newest[key] = revision
	return true
}

func (h *Hub) endDispatch() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended++
	close(h.progress)
	h.progress = make(chan struct{})
}
