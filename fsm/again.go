package fsm

import (
	"fmt"
	"slices"

	"laurel/score"
)

func dependent(s *stored, p *score.Problem) *score.Problem {
	q := score.Problemf(score.StatusConflict, "without it the event %q (%s, revision %d) could not stand: %s; void that one first", s.ID, s.Type, s.revision, p.Detail)
	q.Field = "data.voids"
	return q
}

// again folds the events of one contest's timeline from nothing; of the marks only those whose standing changes.
type again struct {
	contestID  string
	contest    *score.Contest
	awards     map[string]award
	order      []string                 // award ids, as they first appear
	definition *score.CompetitionDefine // the last competition.define
}

func (f *again) fold(s *stored) *score.Problem {
	switch d := s.Data.(type) {
	case *score.Alert:
		return nil
	case *score.CompetitionDefine:
		f.definition = d
		return nil
	case *score.MedalAward:
		a, ok := f.awards[d.AwardID]
		if p := mayAward(a, ok, f.contestID, d.AwardID); p != nil {
			return p
		}
		if !ok {
			f.order = append(f.order, d.AwardID)
		}
		f.awards[d.AwardID] = award{ContestID: f.contestID, Medal: d.Medal, Organisation: d.Organisation}
		return nil
	case *score.MedalRevoke:
		a, ok := f.awards[d.AwardID]
		if p := mayRevoke(a, ok, f.contestID, d.AwardID); p != nil {
			return p
		}
		a.Revoked = true
		f.awards[d.AwardID] = a
		return nil
	}
	if _, defines := s.Data.(*score.ContestDefine); f.contest == nil {
		if !defines {
			return undefined(f.contestID)
		}
		f.contest = score.NewContest(f.contestID)
	}
	return f.contest.Fold(&s.Event, noMarks{}, score.Replay)
}

// noMarks forgets the marks that are folded again: markAgain finds out what they come to.
type noMarks struct{}

func (noMarks) Set(string, score.Mark) (total int) { return 0 }

func (noMarks) First(string, int) (first []score.Mark, total int) { return nil, 0 }

// keepsMarks refuses a void that would take the ground from under marks that stay: another kind, other splits, another direction, or a
// list that no longer has a competitor with a mark. A void changes either the list or a mark, so the marks there are now are those that stay.
func (b *batch) keepsMarks(f *again, before *score.Contest) (*score.Problem, error) {
	if before == nil || before.Split == "" {
		return nil, nil
	}
	refuse := func(what string) *score.Problem {
		p := score.Problemf(score.StatusConflict, "the contest has marks, and without the event %s; void the marks first", what)
		p.Field = "data.voids"
		return p
	}
	switch c := f.contest; {
	case c == nil:
		return refuse("it would not be defined"), nil
	case c.Definition.Kind != before.Definition.Kind, c.Definition.LowerIsBetter() != before.Definition.LowerIsBetter(), !slices.Equal(c.Definition.AllSplits(), before.Definition.AllSplits()):
		return refuse("its kind, splits or direction would be others"), nil
	case !sameCodes(c.Competitors, before.Competitors):
		m := &marks{b: b, contest: c}
		if stray := c.Unlisted(m); stray != "" {
			return refuse(fmt.Sprintf("%q, who has one, would not be on its list", stray)), m.err
		}
		return nil, m.err
	}
	return nil, nil
}

func sameCodes(a, b []score.Competitor) bool {
	return slices.EqualFunc(a, b, func(x, y score.Competitor) bool { return x.Code == y.Code })
}

// keepsAwards refuses a void that would give back an award whose id another contest has taken since.
func (b *batch) keepsAwards(f *again, competition string) (*score.Problem, error) {
	for _, id := range f.order {
		old, had, err := b.findAward(competition, id)
		if err != nil {
			return nil, err
		}
		if had && old.ContestID != f.contestID {
			p := score.Problemf(score.IDConflict, "it would give back the award %q, which belongs to the contest %q by now; void it there first", id, old.ContestID)
			p.Field = "data.voids"
			return p, nil
		}
	}
	return nil, nil
}

// replaceAwards puts the awards that were folded again in the place of those that are there.
func (b *batch) replaceAwards(h *history, f *again, e *event, revision uint64) error {
	ids, err := h.awards()
	if err != nil {
		return err
	}
	for _, id := range ids {
		old, had, err := b.findAward(e.Competition(), id)
		if err != nil {
			return err
		}
		now, has := f.awards[id]
		if had == has && old == now || had && old.ContestID != f.contestID {
			continue
		}
		t, err := b.table(e.Competition())
		if err != nil {
			return err
		}
		if had && !old.Revoked {
			t.AddMedals(old.Organisation, old.Medal, -1)
		}
		if has && !now.Revoked {
			t.AddMedals(now.Organisation, now.Medal, 1)
		}
		b.changedTable(t, e, revision)
		k := key(e.Competition(), id)
		if has {
			err = b.putJSON(awardBucket, k, &now)
		} else {
			err = b.delete(awardBucket, k)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// awards are the ids of the awards that the timeline names, voided ones too, each once.
func (h *history) awards() (ids []string, err error) {
	for _, s := range h.events {
		if s.Type != score.TypeMedalAward {
			continue
		}
		d, err := score.UnmarshalData(s.Type, s.data)
		if err != nil {
			return nil, err
		}
		ids = append(ids, d.(*score.MedalAward).AwardID)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// redefine names the competition by what is left of its competition.define events.
func (b *batch) redefine(f *again, e *event, revision uint64) error {
	if e.ContestID != e.Competition() {
		return nil
	}
	t, err := b.table(e.Competition())
	if err != nil || f.definition == nil && t.Name == "" && len(t.Neutral) == 0 {
		return err
	}
	t.Define(f.definition)
	b.changedTable(t, e, revision)
	return nil
}

// nameAgain brings up to date what the medal table knows besides medals: which organisations there are, and the name that the contests
// give the competition. Changed are the events that stand now and did not before, or the other way round, as the timeline has them.
func (b *batch) nameAgain(e *event, changed []*stored, revision uint64) error {
	var asked []string
	lost, rename := map[string]bool{}, false
	for _, s := range changed {
		d, err := score.UnmarshalData(s.Type, s.data)
		if err != nil {
			return err
		}
		for _, o := range organisations(d) {
			asked, lost[o] = append(asked, o), true
		}
		c, ok := d.(*score.ContestDefine)
		rename = rename || ok && c.CompetitionName != ""
	}
	name, named := "", uint64(0)
	err := eachStanding(b.bucket(timelineBucket), e.Competition(), func(l line) (bool, error) {
		if len(lost) == 0 && (!rename || !l.is(score.TypeContestDefine)) {
			return rename, nil
		}
		s, err := l.read()
		if err != nil {
			return false, err
		}
		d, err := score.UnmarshalData(s.Type, s.data)
		if err != nil {
			return false, err
		}
		for _, o := range organisations(d) {
			delete(lost, o)
		}
		if c, ok := d.(*score.ContestDefine); ok && c.CompetitionName != "" && s.revision > named {
			name, named = c.CompetitionName, s.revision
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	t, err := b.table(e.Competition())
	if err != nil {
		return err
	}
	before := t.Clone()
	for _, o := range asked {
		t.AddOrganisation(o)
	}
	t.Counts = slices.DeleteFunc(t.Counts, func(c score.MedalCount) bool { return lost[c.Organisation] })
	if len(t.Counts) == 0 {
		t.Counts = nil // as in a table that never had one
	}
	if rename {
		t.NameByContests = name
	}
	if t.NameByContests != before.NameByContests || !slices.Equal(t.Counts, before.Counts) {
		b.changedTable(t, e, revision)
	}
	return nil
}

// organisations are those that an event makes the medal table know.
func organisations(d score.Data) (list []string) {
	switch d := d.(type) {
	case *score.CompetitionDefine:
		list = slices.Clone(d.Neutral)
	case *score.ContestDefine:
		for _, entrant := range d.Competitors {
			list = append(list, entrant.Organisation)
		}
	case *score.ResultSet:
		list = []string{d.Organisation}
	case *score.MedalAward:
		list = []string{d.Organisation}
	}
	return slices.DeleteFunc(list, func(o string) bool { return o == "" })
}
