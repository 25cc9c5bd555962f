package fsm

import (
	"github.com/go-json-experiment/json"

	"laurel/score"
)

// award is a medal of a competition under its award_id. A revoked one stays, so that its id can be awarded again and its end told.
type award struct {
	ContestID    string `json:"contest"`
	Medal        string `json:"medal"`
	Organisation string `json:"org"`
	Revoked      bool   `json:"revoked,omitzero"`
}

// effect changes the state by one event at its revision. Refused, the event has changed nothing.
func (b *batch) effect(e *event, revision uint64) (*score.Problem, error) {
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
	}
	return b.foldContest(e, revision)
}

func (b *batch) foldContest(e *event, revision uint64) (*score.Problem, error) {
	c, err := b.contest(e.ContestID)
	if err != nil {
		return nil, err
	}
	_, defines := e.Data.(*score.ContestDefine)
	if c == nil && !defines {
		return undefined(e.ContestID), nil
	}
	made := c == nil
	if made {
		c = score.NewContest(e.ContestID)
	}
	m := &marks{b: b, contest: c}
	p := c.Fold(&e.Event, m, score.Live)
	if p != nil || m.err != nil {
		return p, m.err
	}
	c.Revision = revision
	if made {
		b.putContest(e.ContestID, c)
	} else {
		b.mark(b.contests, e.ContestID)
	}
	return nil, b.introduce(e, revision)
}

func undefined(contestID string) *score.Problem {
	p := score.Problemf(score.NotFound, "the contest %q is not defined; post a contest.define first", contestID)
	p.Field = "contest_id"
	return p
}

// introduce makes the medal table know what an event of the contest names: the competition and organisations.
func (b *batch) introduce(e *event, revision uint64) error {
	list := organisations(e.Data)
	define, defines := e.Data.(*score.ContestDefine)
	if len(list) == 0 && !defines {
		return nil
	}
	t, err := b.table(e.Competition())
	if err != nil {
		return err
	}
	news := t.Revision == 0
	for _, o := range list {
		news = t.AddOrganisation(o) || news
	}
	if defines && define.CompetitionName != "" && t.NameByContests != define.CompetitionName {
		t.NameByContests, news = define.CompetitionName, true
	}
	if news {
		b.changedTable(t, e, revision)
	}
	return nil
}

func (b *batch) defineCompetition(e *event, d *score.CompetitionDefine, revision uint64) error {
	t, err := b.table(e.Competition())
	if err != nil {
		return err
	}
	t.Define(d)
	b.changedTable(t, e, revision)
	return nil
}

func (b *batch) changedTable(t *score.MedalTable, e *event, revision uint64) {
	t.Revision, t.UpdatedAt = revision, e.Time
	b.m.changes.table(t.Competition)
	b.mark(b.tables, t.Competition)
}

func (b *batch) findAward(competition, id string) (a award, ok bool, err error) {
	v, err := get(b.bucket(awardBucket), key(competition, id))
	if v == nil || err != nil {
		return award{}, false, err
	}
	return a, true, json.Unmarshal(v, &a)
}

func (b *batch) award(e *event, d *score.MedalAward, revision uint64) (*score.Problem, error) {
	a, ok, err := b.findAward(e.Competition(), d.AwardID)
	if err != nil {
		return nil, err
	}
	if p := mayAward(a, ok, e.ContestID, d.AwardID); p != nil {
		return p, nil
	}
	t, err := b.table(e.Competition())
	if err != nil {
		return nil, err
	}
	t.AddMedals(d.Organisation, d.Medal, 1)
	b.changedTable(t, e, revision)
	return nil, b.putJSON(awardBucket, key(e.Competition(), d.AwardID), &award{ContestID: e.ContestID, Medal: d.Medal, Organisation: d.Organisation})
}

func mayAward(a award, known bool, contestID, awardID string) *score.Problem {
	var p *score.Problem
	switch {
	case known && a.ContestID != contestID:
		p = score.Problemf(score.IDConflict, "the award %q belongs to the contest %q; choose another award_id", awardID, a.ContestID)
	case known && !a.Revoked:
		p = score.Problemf(score.IDConflict, "the award %q is given already (%s to %s); revoke it first, or choose another award_id", awardID, a.Medal, a.Organisation)
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
	if p := mayRevoke(a, ok, e.ContestID, d.AwardID); p != nil {
		return p, nil
	}
	t, err := b.table(e.Competition())
	if err != nil {
		return nil, err
	}
	t.AddMedals(a.Organisation, a.Medal, -1)
	b.changedTable(t, e, revision)
	a.Revoked = true
	return nil, b.putJSON(awardBucket, key(e.Competition(), d.AwardID), &a)
}

func mayRevoke(a award, known bool, contestID, awardID string) *score.Problem {
	var p *score.Problem
	switch {
	case !known:
		p = score.Problemf(score.NotFound, "there is no award %q in this competition", awardID)
	case a.ContestID != contestID:
		p = score.Problemf(score.NotFound, "the award %q belongs to the contest %q; revoke it there", awardID, a.ContestID)
	case a.Revoked:
		p = score.Problemf(score.StatusConflict, "the award %q is revoked already", awardID)
	default:
		return nil
	}
	p.Field = "data.award_id"
	return p
}
