package fsm

import (
	"cmp"
	"slices"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/fsm/past"
	"laurel/fsm/rounds"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/medal"
)

// award is a medal of a competition. A revoked award is kept, so that its id can be
// awarded again and a second revocation is detected.
type award struct {
	ContestID    string `json:"contest"`
	Medal        string `json:"medal"`
	Organisation string `json:"org"`
	Revoked      bool   `json:"revoked,omitzero"`
}

// applyEffect applies an event to contests and medals. If it returns a problem, nothing
// has changed. An event type that is not handled here is refused, not recorded without an
// effect.
func (b *batch) applyEffect(e *entry.Event) *score.Problem {
	if p := b.checkOrganisations(e); p != nil {
		return p
	}
	switch d := e.Data.(type) {
	case *score.CompetitionDefine:
		t := b.table(e.Competition())
		t.Define(d)
		b.tableChanged(t, e)
		return nil
	case *score.MedalAward:
		return b.changeAward(e, d.AwardID)
	case *score.MedalRevoke:
		return b.changeAward(e, d.AwardID)
	case *score.EventVoid:
		return b.void(e, d)
	case *score.Alert:
		return nil
	}
	return b.foldContest(e)
}

func (b *batch) foldContest(e *entry.Event) *score.Problem {
	c := b.contest(e.ContestID)
	define, defines := e.Data.(*score.ContestDefine)
	if c == nil && !defines {
		return fold.Undefined(e.ContestID)
	}
	if c != nil && defines && define.Reason != "" && c.IsSettled() {
		return b.redefine(e)
	}
	if c != nil && defines {
		n, p := b.marksToCheck(c, len(define.Competitors))
		if p = cmp.Or(p, b.mayFold(n)); p != nil {
			return p
		}
	}
	switch e.Data.(type) {
	case *score.ContestReset:
		if p := b.checkMarksToClear(c); p != nil {
			return p
		}
	case *score.ResultSet, *score.CompetitorDefine:
		if p := b.mayRestate(); p != nil {
			return p
		}
	}
	created := c == nil
	if created {
		c = fold.NewContest(e.ContestID)
	}
	if p := foldEvent(c, e, b.ranked.Contest(c), fold.Live); p != nil {
		return p
	}
	c.Revision = e.Revision
	if created {
		b.putContest(e.ContestID, c)
	} else {
		b.contestChanged(c.ID)
	}
	b.updateMedalTable(e)
	return nil
}

// foldEvent folds an event into a contest.
func foldEvent(c *fold.Contest, e *entry.Event, marks fold.Marks, mode fold.Mode) *score.Problem {
	p := c.Fold(&e.Event, marks, mode)
	if _, resets := e.Data.(*score.ContestReset); resets && p == nil {
		c.ResetRevision = e.Revision
	}
	return p
}

// maxResetMarks limits the marks that a contest.reset removes: they are removed in one
// transaction, and a void of the reset sets them again. It also limits those that are read
// for a first list of competitors.
const maxResetMarks = 20_000

// checkMarksToClear refuses to remove more than maxResetMarks, or to set them all again.
func (b *batch) checkMarksToClear(c *fold.Contest) *score.Problem {
	n := 0
	if c.Split != "" {
		marks := b.ranked.Contest(c)
		for _, split := range c.Definition.AllSplits() {
			n += marks.Total(split)
		}
	}
	if n > maxResetMarks {
		return score.Problemf(score.TooLarge,
			"the contest has %d marks, and the most that one event removes or sets again is %d; "+
				"define another contest instead",
			n, maxResetMarks)
	}
	return b.mayFold(n)
}

// redefine applies a contest.define with a reason to a contest that has begun: all events
// are folded again with it.
func (b *batch) redefine(e *entry.Event) *score.Problem {
	h, _ := b.readHistory(e.ContestID, nil)
	if p := b.mayFold(len(h.events)); p != nil {
		return p
	}
	h.events = append(h.events, e)
	h.voidedBy = voidedBy(h.events)
	if p := b.replay(h, e); p != nil {
		return p
	}
	b.updateMedalTable(e)
	return nil
}

// marksToCheck returns how many marks are read at most to find one of a competitor who is
// not on a list of so many. It refuses a first list for which these are too many.
func (b *batch) marksToCheck(c *fold.Contest, listed int) (n int, _ *score.Problem) {
	if c.Split == "" || listed == 0 {
		return 0, nil
	}
	splits := c.Definition.AllSplits()
	if before := len(c.Competitors); before > 0 { // only of those who are not listed any longer
		return (before + 1) * len(splits), nil
	}
	marks := b.ranked.Contest(c)
	for _, split := range splits {
		n += min(marks.Total(split), listed+c.Entered+1)
	}
	if n > maxResetMarks {
		return 0, score.Problemf(score.TooLarge,
			"the contest has no list of competitors, and for a first one %d marks are read, and the most is %d; "+
				"post a competitor.define for each competitor instead",
			n, maxResetMarks).At("data.competitors")
	}
	return n, nil
}

// updateMedalTable adds the organisations and the competition's name that an event has to
// the medal table.
func (b *batch) updateMedalTable(e *entry.Event) {
	list := organisations(e.Data)
	if _, defines := e.Data.(*score.ContestDefine); len(list) == 0 && !defines {
		return
	}
	present := b.readTable(e.Competition())
	list = slices.DeleteFunc(list, present.Knows)
	name, names := competitionName(e.Data)
	renames := names && present.NameByContests != name
	if len(list) == 0 && !renames && present.Revision > 0 {
		return
	}
	t := b.table(e.Competition())
	for _, o := range list {
		t.AddOrganisation(o)
	}
	if renames {
		t.NameByContests = name
	}
	b.tableChanged(t, e)
}

// competitionName returns the name that an event of a contest gives its competition, "" if
// it clears it, and whether it does one of the two.
func competitionName(d score.Data) (name string, names bool) {
	define, ok := d.(*score.ContestDefine)
	if !ok {
		return "", false
	}
	return define.CompetitionName, define.CompetitionName != "" || define.Clears("competition_name")
}

// maxOrganisations limits the organisations of a competition, which its medal table has.
const maxOrganisations = 10_000

// checkOrganisations refuses an event whose organisations are too many for the medal
// table.
func (b *batch) checkOrganisations(e *entry.Event) *score.Problem {
	list := organisations(e.Data)
	if len(list) == 0 {
		return nil
	}
	t := b.readTable(e.Competition())
	list = slices.DeleteFunc(list, t.Knows)
	if len(list) == 0 || len(t.Counts)+len(list) <= maxOrganisations {
		return nil
	}
	slices.Sort(list)
	if n := len(t.Counts) + len(slices.Compact(list)); n > maxOrganisations {
		return score.Problemf(score.TooLarge,
			"the competition %q would have %d organisations, and the most is %d; leave the organisation out",
			e.Competition(), n, maxOrganisations).At("data")
	}
	return nil
}

func (b *batch) tableChanged(t *medal.Table, e *entry.Event) {
	t.Revision, t.UpdatedAt = e.Revision, e.Time
	b.m.changes.tables.add(t.Competition)
	b.touch(past.Record{ID: t.Competition, Table: true})
	b.markChanged(b.tables, t.Competition)
	b.answerChanged(rounds.Medals, t.Competition)
}

// findAward returns the award that has an id; the zero award if there is none.
func (b *batch) findAward(competition, id string) (a award) {
	b.tx.GetJSON(database.Awards, database.Key(competition, id), &a)
	return a
}

func (b *batch) changeAward(e *entry.Event, id string) *score.Problem {
	before := b.findAward(e.Competition(), id)
	after, p := before.change(e.ContestID, id, e.Data)
	if p == nil {
		b.replaceAward(e, id, before, after)
	}
	return p
}

// change returns what an event of a contest makes of the award.
func (a award) change(contestID, id string, d score.Data) (award, *score.Problem) {
	var p *score.Problem
	exists := a != award{}
	switch d := d.(type) {
	case *score.MedalAward:
		switch {
		case exists && a.ContestID != contestID:
			p = score.Problemf(score.IDConflict, "the award %q belongs to the contest %q; choose another award_id",
				id, a.ContestID)
		case exists && !a.Revoked:
			p = score.Problemf(score.IDConflict,
				"the award %q exists already (%s for %s); revoke it first, or choose another award_id",
				id, a.Medal, a.Organisation)
		default:
			return award{ContestID: contestID, Medal: d.Medal, Organisation: d.Organisation}, nil
		}
	case *score.MedalRevoke:
		switch {
		case !exists:
			p = score.Problemf(score.NotFound, "there is no award %q in this competition", id)
		case a.ContestID != contestID:
			p = score.Problemf(score.NotFound, "the award %q belongs to the contest %q; revoke it there",
				id, a.ContestID)
		case a.Revoked:
			p = score.Problemf(score.StatusConflict, "the award %q has already been revoked", id)
		default:
			a.Revoked = true
			return a, nil
		}
	}
	return a, p.At("data.award_id")
}

// replaceAward replaces an award, in the medal table too. A zero award is none.
func (b *batch) replaceAward(e *entry.Event, id string, before, after award) {
	t := b.table(e.Competition())
	none := award{}
	if before != none && !before.Revoked {
		t.AddMedals(before.Organisation, before.Medal, -1)
	}
	if after != none && !after.Revoked {
		t.AddMedals(after.Organisation, after.Medal, 1)
	}
	b.tableChanged(t, e)
	k := database.Key(e.Competition(), id)
	if after == none {
		b.tx.Delete(database.Awards, k)
	} else {
		b.tx.PutJSON(database.Awards, k, &after)
	}
}

// organisations returns what an event adds to the medal table.
func organisations(d score.Data) (list []string) {
	switch d := d.(type) {
	case *score.ResultSet:
		if d.Organisation == "" {
			return nil // as of most marks
		}
		return []string{d.Organisation}
	case *score.CompetitionDefine:
		list = slices.Clone(d.Neutral)
		for _, o := range d.Organisations {
			list = append(list, o.Code)
		}
	case *score.ContestDefine:
		for _, entrant := range d.Competitors {
			list = append(list, entrant.Organisation)
		}
	case *score.CompetitorDefine:
		list = []string{d.Organisation}
	case *score.MedalAward:
		list = []string{d.Organisation}
	}
	return slices.DeleteFunc(list, func(o string) bool { return o == "" })
}
