package main

import (
	"context"
	"fmt"
)

// all runs everything; its last output is a page in Markdown.
func (b *bench) all(ctx context.Context) error {
	machine, err := b.machine()
	if err != nil {
		return err
	}
	posts, err := b.measurePosts(ctx)
	if err != nil {
		return err
	}
	page := fmt.Sprintf("%s\n\nMedians of %d rounds of %s a cell, the systems in turn. Each poster posts one event and waits for its answer.\n\n%s",
		machine, b.rounds, b.duration, posts.markdown())
	if b.loads(laurelName) {
		s, err := b.measureStreams(ctx)
		if err != nil {
			return err
		}
		m, err := b.measureMemory(ctx)
		if err != nil {
			return err
		}
		page += fmt.Sprintf("\nNDJSON streams of single events, at most %d of a stream unanswered:\n\n%s\n%s", b.window, s.markdown(), m.markdown())
	}
	fmt.Fprintf(b.out, "\n%s", page)
	return nil
}
