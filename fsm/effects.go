package fsm

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"laurel/fsm/database"
	"laurel/score"
	"laurel/score/medal"
)

// award is a medal of a competition under its award_id. A revoked award is kept, so that
// its id can be awarded again and a second revocation is detected.
type award struct {
	ContestID    string `json:"contest"`
	Medal        string `json:"medal"`
	Organisation string `json:"org"`
	Revoked      bool   `json:"revoked,omitzero"`
}

// applyEffect changes contests and medals as an event at a revision says. If it returns a
// problem, nothing has changed. An event type that is not handled here is refused, not
// recorded without an effect.
func (b *batch) applyEffect(e *event, revision uint64) (*score.Problem, error) {
	switch d := e.Data.(type) {
	case *score.CompetitionDefine:
		return nil, b.defineCompetition(e, d, revision)
	case *score.MedalAward:
		return b.award(e, d, revision)
	case *score.MedalRevoke:
		return b.revoke(e, d, revision)
	case *score.EventVoid:
		return b.void(e, d, revision)
	case *score.Alert:
		return nil, nil
	case *score.ContestDefine, *score.ContestStatus, *score.ScorePlay, *score.ScoreSet, *score.ResultSet:
		return b.foldContest(e, revision)
	}
	return unhandled(e.Type), nil
}

func unhandled(t score.Type) *score.Problem {
	p := score.Problemf(score.InvalidEvent, "this version cannot apply events of the type %q", t)
	p.Field = "type"
	return p
}

// foldContest folds an event into its contest. A contest.define creates the contest.
func (b *batch) foldContest(e *event, revision uint64) (*score.Problem, error) {
	c, err := b.contest(e.ContestID)
	if err != nil {
		return nil, err
	}
	_, defines := e.Data.(*score.ContestDefine)
	if c == nil && !defines {
		return undefined(e.ContestID), nil
	}
	created := c == nil
	if created {
		c = score.NewContest(e.ContestID)
	}
	m := &contestMarks{b: b, contest: c}
	p := c.Fold(&e.Event.Event, m, score.Live)
	if p != nil || m.err != nil {
		return p, m.err
	}
	c.Revision = revision
	if created {
		b.putContest(e.ContestID, c)
	} else {
		b.markChanged(b.contests, e.ContestID)
	}
	return nil, b.updateMedalTable(e, revision)
}

func undefined(contestID string) *score.Problem {
	p := score.Problemf(score.NotFound, "the contest %q is not defined; post a contest.define first", contestID)
	p.Field = "contest_id"
	return p
}

// updateMedalTable adds to the medal table what an event of a contest says about the
// competition: its organisations and its name.
func (b *batch) updateMedalTable(e *event, revision uint64) error {
	list := organisations(e.Data)
	define, defines := e.Data.(*score.ContestDefine)
	if len(list) == 0 && !defines {
		return nil
	}
	t, err := b.table(e.Competition())
	if err != nil {
		return err
	}
	changed := t.Revision == 0
	for _, o := range list {
		changed = t.AddOrganisation(o) || changed
	}
	if defines && define.CompetitionName != "" && t.NameByContests != define.CompetitionName {
		t.NameByContests, changed = define.CompetitionName, true
	}
	if changed {
		b.tableChanged(t, e, revision)
	}
	return nil
}

func (b *batch) defineCompetition(e *event, d *score.CompetitionDefine, revision uint64) error {
	t, err := b.table(e.Competition())
	if err != nil {
		return err
	}
	t.Define(d)
	b.tableChanged(t, e, revision)
	return nil
}

// tableChanged records that an event has changed a medal table.
func (b *batch) tableChanged(t *medal.Table, e *event, revision uint64) {
	t.Revision, t.UpdatedAt = revision, e.Time
	b.m.changes.table(t.Competition)
	b.markChanged(b.tables, t.Competition)
}

func (b *batch) findAward(competition, id string) (a award, ok bool, err error) {
	v, err := b.tx.Get(database.Awards, database.Key(competition, id))
	if v == nil || err != nil {
		return award{}, false, err
	}
	if err := json.Unmarshal(v, &a); err != nil {
		return award{}, false, fmt.Errorf("award %q of %s: %w", id, competition, err)
	}
	return a, true, nil
}

func (b *batch) award(e *event, d *score.MedalAward, revision uint64) (*score.Problem, error) {
	a, ok, err := b.findAward(e.Competition(), d.AwardID)
	if err != nil {
		return nil, err
	}
	if p := checkAward(a, ok, e.ContestID, d.AwardID); p != nil {
		return p, nil
	}
	t, err := b.table(e.Competition())
	if err != nil {
		return nil, err
	}
	t.AddMedals(d.Organisation, d.Medal, 1)
	b.tableChanged(t, e, revision)
	a = award{ContestID: e.ContestID, Medal: d.Medal, Organisation: d.Organisation}
	return nil, b.tx.PutJSON(database.Awards, database.Key(e.Competition(), d.AwardID), &a)
}

// checkAward returns the problem if a contest cannot award a medal under an id. exists
// reports whether there is an award a under that id.
func checkAward(a award, exists bool, contestID, awardID string) *score.Problem {
	var p *score.Problem
	switch {
	case exists && a.ContestID != contestID:
		p = score.Problemf(score.IDConflict, "the award %q belongs to the contest %q; choose another award_id",
			awardID, a.ContestID)
	case exists && !a.Revoked:
		p = score.Problemf(score.IDConflict,
			"the award %q exists already (%s for %s); revoke it first, or choose another award_id",
			awardID, a.Medal, a.Organisation)
	default:
		return nil
	}
	p.Field = "data.award_id"
	return p
}

func (b *batch) revoke(e *event, d *score.MedalRevoke, revision uint64) (*score.Problem, error) {
	a, ok, err := b.findAward(e.Competition(), d.AwardID)
	if err != nil {
		return nil, err
	}
	if p := checkRevoke(a, ok, e.ContestID, d.AwardID); p != nil {
		return p, nil
	}
	t, err := b.table(e.Competition())
	if err != nil {
		return nil, err
	}
	t.AddMedals(a.Organisation, a.Medal, -1)
	b.tableChanged(t, e, revision)
	a.Revoked = true
	return nil, b.tx.PutJSON(database.Awards, database.Key(e.Competition(), d.AwardID), &a)
}

// checkRevoke returns the problem if a contest cannot revoke the award a.
func checkRevoke(a award, exists bool, contestID, awardID string) *score.Problem {
	var p *score.Problem
	switch {
	case !exists:
		p = score.Problemf(score.NotFound, "there is no award %q in this competition", awardID)
	case a.ContestID != contestID:
		p = score.Problemf(score.NotFound, "the award %q belongs to the contest %q; revoke it there",
			awardID, a.ContestID)
	case a.Revoked:
		p = score.Problemf(score.StatusConflict, "the award %q has already been revoked", awardID)
	default:
		return nil
	}
	p.Field = "data.award_id"
	return p
}

// organisations returns the organisations that an event adds to the medal table.
func organisations(d score.Data) (list []string) {
	add := func(o string) {
		if o != "" {
			list = append(list, o)
		}
	}
	switch d := d.(type) {
	case *score.CompetitionDefine:
		for _, o := range d.Neutral {
			add(o)
		}
	case *score.ContestDefine:
		for _, entrant := range d.Competitors {
			add(entrant.Organisation)
		}
	case *score.ResultSet:
		add(d.Organisation)
	case *score.MedalAward:
		add(d.Organisation)
	}
	return list
}
