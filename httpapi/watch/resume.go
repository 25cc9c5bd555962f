package watch

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"laurel/cache"
)

// resume writes what has changed since the client received a position, as single events,
// and its windows. The event ids on the way are in order only if the events are, so a page
// of the events of several timelines is all that can be sorted: the client that lacks more
// gets a snapshot.
func (b *beginning) resume() error {
	// With less than it has received elsewhere the stream would go back.
	if err := b.await(b.ctx, func() bool { return b.delivered >= b.received.events }); err != nil {
		return err
	}
	for _, id := range b.w.subjects.Timelines {
		b.latest[cache.TimelineTag(id)] = b.received.events
	}
	var events []*frame
	size, single := 0, len(b.w.subjects.Timelines) == 1
	err := b.catchUp(func(timeline string, page []Event) error {
		for _, e := range page {
			f := eventFrame(timeline, e)
			size += len(f.bytes)
			if single {
				b.frame(f)
			} else {
				events = append(events, f)
			}
		}
		if !single && size > pageBytes {
			return errBehind
		}
		return b.flush()
	})
	if err != nil {
		return err
	}
	if err := b.findChanged(); err != nil {
		return err
	}
	slices.SortFunc(events, func(a, b *frame) int { return cmp.Compare(a.revision, b.revision) })
	for _, f := range events {
		b.frame(f)
	}
	err = b.readRecords(nil, func(key string, e *cache.Entry) error {
		if f := recordFrame(key, e); f != nil && f.revision > b.received.records {
			b.frame(f)
		}
		return b.flush()
	})
	if err != nil {
		return err
	}
	return b.end(func() {
		for _, v := range b.w.takeWindowsLocked() {
			b.frame(v.full)
		}
		if b.closing != nil {
			b.page = append(b.appendID(b.page, position{b.start, b.start}), '\n')
		}
	})
}

// findChanged sets the names of the watched records that have changed since the client
// received them, and perhaps of others.
func (b *beginning) findChanged() error {
	topics := b.w.subjects.topics()
	inCompetition := func(topic string) bool { return strings.HasPrefix(topic, competitionTopic) }
	if !slices.ContainsFunc(topics, inCompetition) {
		_, err := b.findNames() // they are few
		return err
	}
	known := false
	err := b.ask(func(ctx context.Context) (err error) {
		b.names, known, err = b.store.ChangedSince(ctx, b.received.records, b.start)
		return err
	})
	if err != nil {
		return err
	}
	watched := func(topic string) bool { return slices.Contains(topics, topic) }
	b.names = slices.DeleteFunc(b.names, func(key string) bool {
		competition, _ := competitionOf(key)
		return !watched(key) && !watched(competitionTopic) && !watched(competitionTopic+competition)
	})
	slices.Sort(b.names)
	if !known || b.w.subjects.Now && len(b.names) > maxNowChanges {
		return errBehind
	}
	return nil
}
