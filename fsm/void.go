package fsm

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// void makes the event that d names as if it had never been: the contest is folded again from its timeline without it. What was
// accepted after it stays, whatever totals or statuses it found then; if it cannot stand at all without the voided event, the void
// is refused and says which. A void can itself be voided: then what it struck out counts again.
func (b *batch) void(e *event, d *score.EventVoid, revision uint64) (*score.Problem, error) {
	target, p, err := b.findTarget(e, d.Voids)
	if p != nil || err != nil {
		return p, err
	}
	// The void is put into the timeline by say, after this; here it takes part as one more event at the end.
	own := stored{event: *e, revision: revision, target: target.revision}
	h, err := b.loadHistory(e.ContestID, own, target)
	if err != nil {
		return nil, err
	}
	if p, err = b.foldAgain(h, e, revision); p != nil || err != nil {
		return p, err
	}
	var changed []*stored
	for _, s := range h.events {
		by := h.voidedBy[s.revision]
		if by == s.voidedBy || s.revision == revision {
			continue
		}
		s.voidedBy = by
		if err := b.putTimeline(s.revision, s); err != nil {
			return nil, err
		}
		changed = append(changed, s)
	}
	e.voids = target.revision
	return nil, b.nameAgain(e, changed, revision)
}

// findTarget finds the event with the given id in the contest's timeline: the source's own if there is one, else the only one.
func (b *batch) findTarget(e *event, id string) (target stored, p *score.Problem, err error) {
	var found []stored
	err = eachStored(b.bucket(timelineBucket), e.ContestID, 0, func(l line) (bool, error) {
		if string(l.field(1)) != id {
			return true, nil
		}
		s, err := l.read()
		found = append(found, s)
		return true, err
	})
	if err != nil {
		return target, nil, err
	}
	if own := slices.DeleteFunc(slices.Clone(found), func(s stored) bool { return s.Source != e.Source }); len(own) > 0 {
		found = own
	}
	if standing := slices.DeleteFunc(slices.Clone(found), func(s stored) bool { return s.voidedBy != "" }); len(standing) > 0 {
		found = standing
	}
	switch {
	case len(found) == 0:
		p = score.Problemf(score.NotFound, "no event of the contest %q has the id %q", e.ContestID, id)
	case len(found) > 1:
		p = score.Problemf(score.IDConflict, "%d events of the contest have the id %q; which one is meant cannot be told", len(found), id)
	case found[0].voidedBy != "":
		p = score.Problemf(score.StatusConflict, "the event %q is voided already, by %q", id, found[0].voidedBy)
	default:
		return found[0], nil, nil
	}
	p.Field = "data.voids"
	return target, p, nil
}

// history is what of a contest's timeline a void can touch: everything but the marks of a ranked contest, which are too many to be
// folded again; of these only the ones that stand or fall with the void.
type history struct {
	events   []*stored
	voidedBy map[uint64]string // id of the void, by revision of the voided event
	// marks are the (split, competitor) pairs to be set again.
	marks []markAt
}

type markAt struct{ split, competitor string }

func (b *batch) loadHistory(contestID string, own, target stored) (*history, error) {
	h := &history{}
	// The chain of events that change their standing: the target, what it voids, what that voids ...
	chain := map[uint64]bool{target.revision: true}
	for s := target; s.target != 0; {
		chain[s.target] = true
		next, err := b.loadStored(contestID, s.target)
		if err != nil {
			return nil, err
		}
		s = next
	}
	err := eachStored(b.bucket(timelineBucket), contestID, 0, func(l line) (bool, error) {
		if l.is(score.TypeResultSet) && !chain[l.revision] {
			return true, nil
		}
		s, err := l.read()
		if err != nil {
			return false, err
		}
		h.events = append(h.events, &s)
		if s.Type != score.TypeResultSet {
			return true, nil
		}
		d, err := s.result()
		if err == nil {
			h.marks = append(h.marks, markAt{d.Split, d.Competitor})
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	h.events = append(h.events, &own)
	h.voidedBy = standing(h.events)
	return h, nil
}

func (b *batch) loadStored(contestID string, revision uint64) (stored, error) {
	k := numbered(revision, contestID)
	v, err := get(b.bucket(timelineBucket), k)
	if err != nil {
		return stored{}, err
	}
	return line{revision, v}.read()
}

func (s *stored) result() (*score.ResultSet, error) {
	d, err := score.UnmarshalData(s.Type, s.data)
	if err != nil {
		return nil, err
	}
	return d.(*score.ResultSet), nil
}

// standing tells which events are voided, by which. A void counts unless a later one voids it, so the latest decides first.
func standing(events []*stored) map[uint64]string {
	voided := map[uint64]string{}
	for _, s := range slices.Backward(events) {
		if s.target != 0 && voided[s.revision] == "" {
			voided[s.target] = s.ID
		}
	}
	return voided
}

// foldOrder are the events that stand and change something: the marks last, since it is what the contest has become that decides
// whether it has room for them.
func (h *history) foldOrder() []*stored {
	var list, marks []*stored
	for _, s := range h.events {
		switch {
		case h.voidedBy[s.revision] != "" || s.target != 0:
		case s.Type == score.TypeResultSet:
			marks = append(marks, s)
		default:
			list = append(list, s)
		}
	}
	return append(list, marks...)
}

// foldAgain brings the state to what the events that still stand make of it.
func (b *batch) foldAgain(h *history, e *event, revision uint64) (*score.Problem, error) {
	before, err := b.contest(e.ContestID)
	if err != nil {
		return nil, err
	}
	f := &again{contestID: e.ContestID, awards: map[string]award{}}
	for _, s := range h.foldOrder() {
		if s.Data, err = score.UnmarshalData(s.Type, s.data); err != nil {
			return nil, err
		}
		if p := f.fold(s); p != nil {
			return dependent(s, p), nil
		}
	}
	if p, err := b.keepsMarks(f, before); p != nil || err != nil {
		return p, err
	}
	if p, err := b.keepsAwards(f, e.Competition()); p != nil || err != nil {
		return p, err
	}
	if err := b.replaceAwards(h, f, e, revision); err != nil {
		return nil, err
	}
	if err := b.redefine(f, e, revision); err != nil {
		return nil, err
	}
	if before == nil && f.contest == nil {
		return nil, nil
	}
	if f.contest != nil {
		f.contest.Revision, f.contest.UpdatedAt = revision, e.Time
	}
	b.putContest(e.ContestID, f.contest)
	if f.contest == nil || f.contest.About.Kind != score.Ranked {
		return nil, nil
	}
	return nil, b.markAgain(f.contest, h)
}

// markAgain gives the contest folded again its marks: all stay, but those of the void's chain, where the last that stands counts.
func (b *batch) markAgain(c *score.Contest, h *history) error {
	m := &marks{b: b, contest: c}
	for _, at := range h.marks {
		last, err := b.lastMark(c.ID, at, h)
		if err != nil {
			return err
		}
		if last == nil {
			m.remove(at.split, at.competitor)
			continue
		}
		m.Set(at.split, last.AsMark())
	}
	c.Rank(m)
	return m.err
}

// lastMark is the last result.set that stands for a competitor at a split; nil if none does.
func (b *batch) lastMark(contestID string, at markAt, h *history) (last *score.ResultSet, err error) {
	quoted, err := json.Marshal(at.competitor)
	if err != nil {
		return nil, err
	}
	chained := map[uint64]bool{}
	for _, s := range h.events {
		chained[s.revision] = true
	}
	err = eachStored(b.bucket(timelineBucket), contestID, 0, func(l line) (bool, error) {
		if !bytes.Contains(l.wire, quoted) || !l.is(score.TypeResultSet) {
			return true, nil
		}
		s, err := l.read()
		if err != nil {
			return false, err
		}
		voided := s.voidedBy != ""
		if chained[s.revision] {
			voided = h.voidedBy[s.revision] != ""
		}
		if voided {
			return true, nil
		}
		d, err := s.result()
		if err == nil && d.Split == at.split && d.Competitor == at.competitor {
			last = d
		}
		return true, err
	})
	return last, err
}
