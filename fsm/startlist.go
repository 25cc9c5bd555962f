package fsm

import (
	"bytes"

	"laurel/fsm/entry"
	"laurel/fsm/timeline"
	"laurel/score"
	"laurel/score/fold"
)

// entrantChange is what a void makes of an entrant of a ranked contest.
type entrantChange struct {
	code         string
	after        score.Entrant
	entered, was bool
}

// changedEntrant returns what a void makes of the entrant that it affects, nil if it
// affects none: its competitor.defines that are not voided, one after the other.
func (b *batch) changedEntrant(h *history, before *fold.Contest) *entrantChange {
	if h.entrant == "" {
		return nil
	}
	change := &entrantChange{code: h.entrant}
	if before != nil {
		_, change.was = b.ranked.Contest(before).Entrant(h.entrant)
	}
	prefix, err := score.MarshalData(&score.CompetitorDefine{Competitor: h.entrant})
	if err != nil {
		b.tx.Fail(err)
		return change
	}
	prefix = prefix[:len(prefix)-1] // other members may follow
	for r, err := range timeline.Contest(b.timeline.Bucket(h.contestID), h.contestID, 0) {
		b.tx.Fail(err)
		b.RowRead()
		if h.voidedBy[r.Revision] != 0 || !r.Is(score.TypeCompetitorDefine) || !bytes.HasPrefix(r.JSON(), prefix) {
			continue
		}
		if d, ok := b.dataOf(b.decode(r)).(*score.CompetitorDefine); ok && d.Competitor == h.entrant {
			change.after, change.entered = change.after.Changed(d), true
		}
	}
	return change
}

// added returns the number of entrants that are added.
func (c *entrantChange) added() int {
	switch {
	case c == nil || c.entered == c.was:
		return 0
	case c.entered:
		return 1
	}
	return -1
}

// checkStartList refuses what would leave a start list without a ranked contest, and
// counts the entrants otherwise.
func (r *replayer) checkStartList(e *entry.Event) *score.Problem {
	entered := 0
	if r.before != nil && r.before.Definition.Kind == score.Ranked {
		entered = r.before.Entered
	}
	ranked := r.contest != nil && r.contest.Definition.Kind == score.Ranked
	if entered > 0 && !ranked {
		return r.refusal(e, "competitor.defines", "it would not be defined as ranked")
	}
	if ranked {
		r.contest.Entered = entered + r.entrant.added()
	}
	return nil
}

// setStartList changes the entrant that changes, what the contest has of the start list,
// and the marks of those of whom other things are known.
func (r *replayer) setStartList() {
	m := r.b.ranked.Contest(r.contest)
	if change := r.entrant; change != nil {
		if change.entered {
			m.PutEntrant(change.after)
		} else {
			m.RemoveEntrant(change.code)
		}
		m.Restate(change.code)
	}
	r.contest.Entrants = nil
	if r.contest.Entered > 0 {
		r.contest.Entrants = m.FirstEntrants(fold.MaxLeaders)
	}
	if r.before != nil && r.before.Split != "" {
		r.contest.Restate(r.before, m)
	}
}
