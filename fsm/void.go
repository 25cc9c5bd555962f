package fsm

import (
	"bytes"
	"cmp"
	"slices"

	"laurel/score"
)

// void makes the event that d names as if it had never been: the contest is folded again from its timeline without it. What was
// accepted after it stays, whatever totals or statuses it found then; if it cannot stand at all without the voided event, the void
// is refused and says which. A void can itself be voided: then what it struck out counts again.
func (b *batch) void(e *event, d *score.EventVoid, revision uint64) (*score.Problem, error) {
	h, named, err := b.survey(e.ContestID, d.Voids)
	if err != nil {
		return nil, err
	}
	target, p := choose(e, d.Voids, named)
	if p != nil {
		return p, nil
	}
	if err := b.touch(h, target); err != nil {
		return nil, err
	}
	// The void is put into the timeline by say, after this; here it takes part as one more event at the end.
	h.events = append(h.events, &stored{event: *e, revision: revision, target: target.revision})
	h.voidedBy = standing(h.events)
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

// history is what of a contest's timeline a void can touch: everything but the marks of a ranked contest, which are too many to be
// folded again; of these only the one that stands or falls with the void.
type history struct {
	events   []*stored
	voidedBy map[uint64]string // id of the void, by revision of the voided event
	// marks are the (split, competitor) pairs to be set again.
	marks []markAt
}

type markAt struct{ split, competitor string }

// survey reads a contest's timeline once: for all but the marks, and for the events with the given id.
func (b *batch) survey(contestID, id string) (h *history, named []*stored, err error) {
	h = &history{}
	err = eachStored(b.bucket(timelineBucket), contestID, 0, func(l line) (bool, error) {
		mark, meant := l.is(score.TypeResultSet), string(l.field(1)) == id
		if mark && !meant {
			return true, nil
		}
		s, err := l.read()
		if meant {
			named = append(named, &s)
		}
		if !mark {
			h.events = append(h.events, &s)
		}
		return true, err
	})
	return h, named, err
}

// choose tells which of the events with an id is meant: the source's own if there is one, one that stands before one that does not.
func choose(e *event, id string, found []*stored) (target *stored, p *score.Problem) {
	if own := slices.DeleteFunc(slices.Clone(found), func(s *stored) bool { return s.Source != e.Source }); len(own) > 0 {
		found = own
	}
	if standing := slices.DeleteFunc(slices.Clone(found), func(s *stored) bool { return s.voidedBy != "" }); len(standing) > 0 {
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
		return found[0], nil
	}
	p.Field = "data.voids"
	return nil, p
}

// touch adds the mark whose standing changes with the target's: the target, or what the void that is the target voids, and so on.
func (b *batch) touch(h *history, target *stored) error {
	for target.target != 0 {
		next, err := b.loadStored(target.ContestID, target.target)
		if err != nil {
			return err
		}
		target = &next
	}
	if target.Type != score.TypeResultSet {
		return nil
	}
	d, err := target.result()
	if err != nil {
		return err
	}
	h.marks = append(h.marks, markAt{d.Split, d.Competitor})
	at, _ := slices.BinarySearchFunc(h.events, target.revision, func(s *stored, revision uint64) int { return cmp.Compare(s.revision, revision) })
	h.events = slices.Insert(h.events, at, target)
	return nil
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
	if f.contest == nil || f.contest.Definition.Kind != score.Ranked {
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
	c.UpdateLeaders(m)
	return m.err
}

// lastMark is the last result.set that stands for a competitor at a split; nil if none does.
func (b *batch) lastMark(contestID string, at markAt, h *history) (last *score.ResultSet, err error) {
	begins, err := score.MarshalData(&score.ResultSet{Competitor: at.competitor, Split: at.split})
	if err != nil {
		return nil, err
	}
	begins = begins[:len(begins)-1] // a mark or an irm follows
	chained := map[uint64]bool{}
	for _, s := range h.events {
		chained[s.revision] = true
	}
	err = latestStored(b.bucket(timelineBucket), contestID, func(l line) (bool, error) {
		if !bytes.HasPrefix(l.field(9), begins) { // which only a mark's data can have
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
		return last == nil, err
	})
	return last, err
}
