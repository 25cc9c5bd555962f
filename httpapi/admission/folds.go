package admission

import (
	"context"
	"slices"
	"time"

	"laurel/score"
)

// Some events have the state machine fold other events again: a void those of its
// contest. How many is known only afterwards, from the results. So a caller may have a
// few such posts under way, and after them waits until it has paid for them.
const (
	// FoldsPerCaller is how many events a second one key or token may have folded again.
	// What it has folded beyond that, it pays for before its next such post.
	FoldsPerCaller = 20_000
	// FoldingPosts is how many posts of one key or token are under way at once that may
	// have events folded again.
	FoldingPosts = 8
)

// Folding is a post that may have events folded again.
type Folding struct {
	callers []*callerBudget // that pay for it
}

// mayFold reports whether an event may have others folded again. A definition of a ranked
// contest may have its marks read.
func mayFold(e *score.Event) bool {
	switch e.Data.(type) {
	case *score.EventVoid, *score.ContestDefine:
		return true
	}
	return false
}

// payers returns the budgets of those who post events that may have others folded again.
func (g *Gate) payers(events []score.Event) (list []*callerBudget) {
	for i := range events {
		if !mayFold(&events[i]) {
			continue
		}
		if b := g.callerOf(&events[i]); b != nil && !slices.Contains(list, b) {
			list = append(list, b)
		}
	}
	return list
}

// BeginFolding takes a place for a post with the events, if one of them may have others
// folded again. End gives it back.
func (g *Gate) BeginFolding(events []score.Event) (f Folding, refused *score.Problem) {
	for _, b := range g.payers(events) {
		select {
		case b.folding <- struct{}{}:
			f.callers = append(f.callers, b)
		default:
			f.leave()
			return Folding{}, g.Refuse(reasonRate, score.Problemf(score.RateLimited,
				"%d posts with voids or definitions by this key or token are under way; "+
					"this request was not processed; retry it", FoldingPosts))
		}
		if !b.folds.AllowN(time.Now(), 1) {
			f.leave()
			return Folding{}, g.Refuse(reasonRate, score.Problemf(score.RateLimited,
				"the voids by this key or token have folded more than %d events a second; "+
					"this request was not processed; retry it", FoldsPerCaller))
		}
	}
	return f, nil
}

// AwaitFolding is BeginFolding for a stream, which waits until ctx ends. The events are by
// one grant: nobody waits for the places of one caller with those of another.
func (g *Gate) AwaitFolding(ctx context.Context, events []score.Event) (f Folding, err error) {
	for _, b := range g.payers(events) {
		select {
		case b.folding <- struct{}{}:
			f.callers = append(f.callers, b)
			err = b.folds.WaitN(ctx, 1)
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			f.leave()
			return Folding{}, err
		}
	}
	return f, nil
}

// End gives the place back and has the callers pay for what was folded. If the outcome is
// not known, they pay for a second.
func (f Folding) End(results []score.Result, err error) {
	folded := 0
	if code := score.CodeOf(err); err != nil && (code == "" || code == score.OutcomeUnknown) {
		folded = FoldsPerCaller
	}
	for i := range results {
		folded += results[i].Folded
	}
	now := time.Now()
	for _, b := range f.callers {
		for left := folded; left > 0; left -= FoldsPerCaller {
			b.folds.ReserveN(now, min(left, FoldsPerCaller))
		}
	}
	f.leave()
}

func (f Folding) leave() {
	for _, b := range f.callers {
		<-b.folding
	}
}
