package main

import (
	"context"
	"fmt"

	"laurel/client"
	"laurel/fsm/entry"
	"laurel/score"
)

const (
	// maxSources bounds the sources of which posted keeps events. To forget one costs a
	// read.
	maxSources = 1024
	// maxKept is about the number of events that posted keeps.
	maxKept = 1 << 17
	// maxPage is the most events of one answer.
	maxPage = 1000
)

// posted is what the store has of the sources of an input, as far as it was asked for.
type posted struct {
	client  *client.Client
	sources map[string]score.Posted
}

// find returns what the store has under a seq. ok is false if that is nothing, as far as
// is known.
func (p *posted) find(ctx context.Context, source string, seq uint64) (e score.PostedEvent, ok bool, err error) {
	known, asked := p.sources[source]
	if e, ok = eventAt(&known, seq); ok || asked && seq > known.LastSeq {
		return e, ok, nil
	}
	if known, err = p.read(ctx, source, seq); err != nil {
		return e, false, err
	}
	e, ok = eventAt(&known, seq)
	return e, ok, nil
}

func eventAt(p *score.Posted, seq uint64) (e score.PostedEvent, ok bool) {
	if len(p.Events) == 0 || seq < p.Events[0].Seq || seq-p.Events[0].Seq >= uint64(len(p.Events)) {
		return e, false
	}
	return p.Events[seq-p.Events[0].Seq], true
}

// read asks for the events of a source from a seq on.
func (p *posted) read(ctx context.Context, source string, from uint64) (score.Posted, error) {
	if p.sources == nil || len(p.sources) >= maxSources {
		p.sources = make(map[string]score.Posted)
	}
	limit := min(maxPage, maxKept/(len(p.sources)+1))
	answer, err := p.client.Posted(ctx, source, from-1, limit)
	if err != nil {
		return answer, fmt.Errorf("read the last seq of %s: %w", source, err)
	}
	for i, e := range answer.Events {
		if e.Seq != from+uint64(i) {
			return answer, fmt.Errorf("read the events of %s: a frontend answered with seq %d; want %d",
				source, e.Seq, from+uint64(i))
		}
	}
	p.sources[source] = answer
	return answer, nil
}

// is reports whether e is the posted event, or the posted event is the alert in its place.
func (e *inputEvent) is(had *score.PostedEvent) bool {
	if had.ID == e.placeholderID() {
		return true
	}
	if e.made {
		// It is posted again: another input may have begun with the same line.
		return false
	}
	event, problem := score.Decode(e.raw)
	if problem != nil {
		return false
	}
	data, err := score.MarshalData(event.Data)
	return err == nil && entry.DigestOf(&event, data) == had.Digest
}
