package fsm

import (
	"fmt"
	"slices"

	"laurel/fsm/entry"
	"laurel/fsm/ranked"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/ranking"
)

// replayer computes the state of one contest from its events, and replaces the present
// state by it. It does not compute marks.
type replayer struct {
	b           *batch
	contestID   string
	before      *fold.Contest  // the present state; nil if it is not defined
	contest     *fold.Contest  // nil until it is defined
	entrant     *entrantChange // nil if none changes
	awards      map[string]award
	definitions []*score.CompetitionDefine
}

// apply applies one event, whose data must have been parsed.
func (r *replayer) apply(s *entry.Event) *score.Problem {
	switch d := s.Data.(type) {
	case *score.Alert:
		return nil
	case *score.CompetitionDefine:
		r.definitions = append(r.definitions, d)
		return nil
	case *score.MedalAward:
		return r.changeAward(d.AwardID, d)
	case *score.MedalRevoke:
		return r.changeAward(d.AwardID, d)
	case *score.ContestDefine:
		if r.contest == nil {
			r.contest = fold.NewContest(r.contestID)
		}
	}
	if r.contest == nil {
		return fold.Undefined(r.contestID)
	}
	return foldEvent(r.contest, s, replayMarks{r}, fold.Replay)
}

func (r *replayer) changeAward(id string, d score.Data) *score.Problem {
	a, p := r.awards[id].change(r.contestID, id, d)
	if p == nil {
		r.awards[id] = a
	}
	return p
}

// replayMarks knows the start list as it will be, and ignores marks during a replay;
// setMarks sets them afterwards.
type replayMarks struct{ r *replayer }

func (replayMarks) Traits(string) (t ranking.Traits) { return t }

func (replayMarks) Set(string, ranking.Mark) (total int, restated bool) { return 0, false }

func (replayMarks) First(string, int) (first []ranking.Mark, total int) { return nil, 0 }

func (replayMarks) Has(string) bool { return false }

func (replayMarks) Some(int) []string { return nil }

func (replayMarks) Clear() {}

func (m replayMarks) Entrant(code string) (e score.Entrant, entered bool) {
	if change := m.r.entrant; change != nil && change.code == code {
		return change.after, change.entered
	}
	if m.r.before == nil {
		return e, false
	}
	return m.r.b.ranked.Contest(m.r.before).Entrant(code)
}

func (replayMarks) SetEntrant(score.Entrant) {}

func (replayMarks) Restate(string) {}

func (replayMarks) FirstEntrants(int) []score.Entrant { return nil }

// marksAfter are the present marks with the start list as it will be.
type marksAfter struct {
	*ranked.Contest
	startList replayMarks
}

func (m marksAfter) Entrant(code string) (e score.Entrant, entered bool) {
	return m.startList.Entrant(code)
}

// replay changes the state to what the events of the history that are not voided make of
// it. If it returns a problem, nothing has changed.
func (b *batch) replay(h *history, e *entry.Event) *score.Problem {
	before := b.contest(e.ContestID)
	r := &replayer{
		b: b, contestID: e.ContestID, before: before, entrant: b.changedEntrant(h, before), awards: map[string]award{},
	}
	for _, s := range h.standing() {
		s.Data = b.dataOf(s)
		if p := r.apply(s); p != nil {
			return dependent(s, p, e)
		}
	}
	if p := r.checkStartList(e); p != nil {
		return p
	}
	if p := r.checkMarks(e); p != nil {
		return p
	}
	marks := b.marksToSet(before, r.contest, h)
	for _, s := range marks {
		if s.event == nil {
			continue
		}
		if p := r.apply(s.event); p != nil {
			return dependent(s.event, p, e)
		}
	}
	ids := b.awardIDs(h)
	if p := r.checkAwards(ids, e.Competition()); p != nil {
		return p
	}
	r.replaceAwards(ids, e)
	r.redefineCompetition(e)
	if before == nil && r.contest == nil {
		return nil
	}
	if r.contest != nil {
		r.contest.Revision, r.contest.UpdatedAt = e.Revision, e.Time
		if before != nil {
			r.contest.Corrected = before.Corrected
		}
		if before != nil && r.contest.Corrects(before) {
			r.contest.Corrected = e.Revision
		}
	}
	b.putContest(e.ContestID, r.contest)
	if r.contest != nil && r.contest.Definition.Kind == score.Ranked {
		if redefined(before, r.contest) {
			b.ranked.Contest(before).Clear()
		}
		r.setStartList()
		b.setMarks(r.contest, marks, h)
	}
	return nil
}

// redefined reports whether the marks of a contest before amount to something else in the
// contest after.
func redefined(before, after *fold.Contest) bool {
	return before != nil && before.Split != "" && after != nil &&
		after.Definition.Differs(&before.Definition) != ""
}

// dependent returns the problem of a void without whose target an event s cannot be
// replayed, or of a definition with which it cannot.
func dependent(s *entry.Event, p *score.Problem, e *entry.Event) *score.Problem {
	switch {
	case s == e:
		return p
	case e.Voids == 0:
		return score.Problemf(score.StatusConflict,
			"the event %q (%s, revision %d) cannot stand with this definition: %s; void that event first",
			s.ID, s.Type, s.Revision, p.Detail).At("data")
	}
	return score.Problemf(score.StatusConflict,
		"the event %q (%s, revision %d) depends on it: %s; void that event first",
		s.ID, s.Type, s.Revision, p.Detail).At("data.voids")
}

// refusal returns the problem of a void or a definition after which what a contest has
// could not stand.
func (r *replayer) refusal(e *entry.Event, has, what string) *score.Problem {
	field := "data.voids"
	if e.Voids == 0 {
		field = "data"
	}
	return score.Problemf(score.StatusConflict,
		"the contest has %s, and after this event %s; void the %s first", has, what, has).At(field)
}

// checkMarks refuses what would invalidate marks that stay, because it removes a
// competitor who has a mark from the list. What changes their meaning has all marks set
// again, unless they are too many.
func (r *replayer) checkMarks(e *entry.Event) *score.Problem {
	before, c := r.before, r.contest
	switch {
	case before == nil || before.Split == "":
		return nil
	case c == nil:
		return r.refusal(e, "marks", "it would not be defined")
	case c.Definition.Kind != score.Ranked:
		return r.refusal(e, "marks", "it would be "+c.Definition.Kind)
	case redefined(before, c):
		return r.b.checkMarksToClear(before)
	}
	var left []string
	if r.entrant != nil && !r.entrant.entered {
		left = []string{r.entrant.code}
	}
	sameCode := func(a, b fold.Competitor) bool { return a.Code == b.Code }
	if left == nil && slices.EqualFunc(c.Competitors, before.Competitors, sameCode) {
		return nil
	}
	n, p := r.b.marksToCheck(before, len(c.Competitors))
	if p != nil {
		return p
	}
	r.b.folded += n
	if unlisted := c.Unlisted(before, marksAfter{r.b.ranked.Contest(c), replayMarks{r}}, left...); unlisted != "" {
		return r.refusal(e, "marks", fmt.Sprintf("%q, who has a mark, would not be on its list", unlisted))
	}
	return nil
}

// checkAwards refuses a void that would restore an award whose id another contest uses
// now.
func (r *replayer) checkAwards(ids []string, competition string) *score.Problem {
	for _, id := range ids {
		present := r.b.findAward(competition, id)
		_, replayed := r.awards[id]
		if replayed && present.ContestID != "" && present.ContestID != r.contestID {
			return score.Problemf(score.IDConflict,
				"this would restore the award %q, which now belongs to the contest %q; void it there first",
				id, present.ContestID).At("data.voids")
		}
	}
	return nil
}

func (r *replayer) replaceAwards(ids []string, e *entry.Event) {
	for _, id := range ids {
		before, after := r.b.findAward(e.Competition(), id), r.awards[id]
		if before != after && (before.ContestID == "" || before.ContestID == r.contestID) {
			r.b.replaceAward(e, id, before, after)
		}
	}
}

// redefineCompetition defines the competition by the competition.defines that are not
// voided.
func (r *replayer) redefineCompetition(e *entry.Event) {
	if e.ContestID != e.Competition() {
		return
	}
	t := r.b.table(e.Competition())
	changed := t.Undefine()
	for _, d := range r.definitions {
		t.Define(d)
		changed = true
	}
	if changed {
		r.b.tableChanged(t, e)
	}
}
