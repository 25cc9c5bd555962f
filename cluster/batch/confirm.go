package batch

import (
	"context"
	"errors"

	"laurel/fsm/entry"
	"laurel/score"
)

// The errors of Confirm.
var (
	ErrContradicted = errors.New("the state of this frontend has something else there")
	ErrUnconfirmed  = errors.New("the state of this frontend did not get so far in time")
)

// AppliedAt returns the revision of the last event that results say was applied; 0 for none.
func AppliedAt(results []score.Result) (revision uint64) {
	for i := range results {
		if results[i].Status == score.Applied {
			revision = max(revision, results[i].Revision)
		}
	}
	return revision
}

// Confirm waits until a post of this frontend has come to the results in its own state. await
// waits until that has a revision. ErrContradicted means that it has, and that the post has not
// come to the results: the master has said what is not so, or has another history.
// ErrUnconfirmed means that ctx ended before, or that a snapshot hides what became of the post.
func Confirm(
	ctx context.Context, results []score.Result, own *entry.Own, await func(ctx context.Context, revision uint64) error,
) error {
	revision := AppliedAt(results)
	if await(ctx, revision) != nil {
		return ErrUnconfirmed
	}
	for {
		changed := own.Changed()
		so, known := own.Came(results)
		switch {
		case so:
			return nil
		case !known:
			return ErrUnconfirmed
		case revision > 0:
			return ErrContradicted
		}
		select { // nothing says when duplicates and refusals are there
		case <-changed:
		case <-ctx.Done():
			return ErrUnconfirmed
		}
	}
}
