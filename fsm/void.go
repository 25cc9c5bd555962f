package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"laurel/fsm/entry"
	"laurel/fsm/ranked"
	"laurel/fsm/timeline"
	"laurel/score"
)

// void applies an event.void: it makes the event that it names as if it had never been
// posted, by replaying the contest's timeline without it. Events that were accepted after
// it stay, whatever totals or statuses they found then. If one of them cannot be replayed
// without the voided event, the void is refused and names it. A void can itself be
// voided; the event that it voided then counts again.
func (b *batch) void(e *entry.Event, d *score.EventVoid) *score.Problem {
	h, named := b.readHistory(e.ContestID, d)
	if p := b.mayFold(len(h.events) + len(named)); p != nil {
		return p
	}
	target, p := chooseTarget(e, d, named)
	if p != nil {
		return p
	}
	b.addAffected(h, target)
	// recordEvent adds the void to the timeline afterwards. Here it is one more event at
	// the end.
	e.Voids = target.Revision
	h.events = append(h.events, e)
	h.voidedBy = voidedBy(h.events)
	if p := b.replay(h, e); p != nil {
		return p
	}
	var changed []*entry.Event
	for _, s := range h.events {
		by := h.voidedBy[s.Revision]
		if by != s.VoidedBy && s != e {
			s.VoidedBy = by
			b.timeline.Replace(s)
			changed = append(changed, s)
		}
	}
	b.refreshMedalTable(e, changed)
	return nil
}

const (
	// maxFolds limits the events that one post has folded again. The first void of a post
	// may fold more, because every event can be voided.
	maxFolds = 20_000
	// rowsPerFold is how many rows of a timeline are read in the time of one fold.
	rowsPerFold = 8
)

// work is what a post has the state machine do again.
type work struct {
	folded   int // events, with rows/rowsPerFold and restated
	before   int // those folded for the events before the present one
	rows     int // of timelines and marks, since folded was last increased for them
	restated int // marks that were written again, each for an event of another split
}

// MarkRestated counts a mark that is written again. It costs as much as an event that is
// folded again.
func (w *work) MarkRestated() {
	w.folded++
	w.restated++
}

// mayRestate refuses an event that may have all marks of its competitor written again if
// those before it in the post had maxFolds or more.
func (w *work) mayRestate() *score.Problem {
	if w.restated < maxFolds {
		return nil
	}
	return score.Problemf(score.TooLarge,
		"the events before have %d marks at other splits written again, and the most is %d; post fewer at once",
		w.restated, maxFolds)
}

// mayFold counts n events that are folded again for the present event. It refuses the
// event if that makes more than maxFolds, and the post has had some folded before.
func (w *work) mayFold(n int) *score.Problem {
	w.folded += n
	if n > 0 && w.before > 0 && w.folded > maxFolds {
		return score.Problemf(score.TooLarge,
			"this post folds %d or more events again, and the most is %d; post fewer voids at once",
			w.folded, maxFolds)
	}
	return nil
}

// RowRead counts a row of a timeline, or the record of a competitor, that is read.
func (w *work) RowRead() {
	if w.rows++; w.rows == rowsPerFold {
		w.rows, w.folded = 0, w.folded+1
	}
}

// history is the part of a contest's timeline that a void can affect: not the marks and
// the start list of a ranked contest, which are too many, nor alerts, except the one that
// the void affects.
type history struct {
	contestID string
	events    []*entry.Event
	voidedBy  map[uint64]uint64 // the revisions of the voids, by those of the voided events
	marks     []ranked.Key      // the marks to be set again
	named     bool              // their events may name a category or an organisation
	entrant   string            // the entrant of a ranked contest that the void affects; "" if it affects none
	ranked    bool
}

// leavesOut reports whether the history has no events of the type, except the one that the
// void affects.
func (h *history) leavesOut(e entry.Wire) bool {
	return e.Is(score.TypeResultSet) || e.Is(score.TypeAlert) || h.ranked && e.Is(score.TypeCompetitorDefine)
}

// readHistory reads a contest's timeline once. It returns the events of the history, and
// those that a void names, of any type. Without a void it names none.
func (b *batch) readHistory(contestID string, d *score.EventVoid) (h *history, named []*entry.Event) {
	h = &history{contestID: contestID}
	if c := b.contest(contestID); c != nil {
		h.ranked = c.Definition.Kind == score.Ranked
	}
	for r, err := range timeline.Contest(b.timeline.Bucket(contestID), contestID, 0) {
		b.tx.Fail(err)
		b.RowRead()
		leftOut := h.leavesOut(r.Wire)
		isNamed := d != nil && (d.VoidsRevision == 0 || d.VoidsRevision == r.Revision) &&
			r.Matches(d.Voids, d.VoidsSource, d.VoidsSeq)
		if leftOut && !isNamed {
			continue
		}
		s := b.decode(r)
		if isNamed {
			named = append(named, s)
		}
		if !leftOut {
			h.events = append(h.events, s)
		}
	}
	return h, named
}

func (b *batch) decode(r timeline.Row) *entry.Event {
	s, err := r.Decode()
	b.tx.Fail(err)
	return &s
}

func (b *batch) dataOf(s *entry.Event) score.Data {
	d, err := score.UnmarshalData(s.Type, s.JSON)
	b.tx.Fail(err)
	return d
}

// chooseTarget returns the event that a void names. Of several events with one id it
// prefers those of the void's own source, and then those that are not voided.
func chooseTarget(void *entry.Event, d *score.EventVoid, found []*entry.Event) (*entry.Event, *score.Problem) {
	found = prefer(found, func(s *entry.Event) bool { return s.Source == void.Source })
	found = prefer(found, func(s *entry.Event) bool { return s.VoidedBy == 0 })
	var p *score.Problem
	switch {
	case len(found) == 0:
		p = score.Problemf(score.NotFound, "no event of the contest %q has %s", void.ContestID, d.Target())
	case len(found) > 1:
		p = score.Problemf(score.IDConflict,
			"%d events of the contest have %s: %s; name one of them by voids_revision, "+
				"or by voids_source and voids_seq",
			len(found), d.Target(), listEvents(found))
	case found[0].VoidedBy != 0:
		p = score.Problemf(score.StatusConflict, "the event with %s is voided already, by the event at revision %d",
			d.Target(), found[0].VoidedBy)
	default:
		return found[0], nil
	}
	return nil, p.At("data." + d.TargetField())
}

const maxListed = 10

// listEvents returns what tells events apart.
func listEvents(events []*entry.Event) string {
	var list []string
	for _, s := range events[:min(len(events), maxListed)] {
		list = append(list, fmt.Sprintf("revision %d (%s, seq %d of %s)", s.Revision, s.Type, s.Seq, s.Source))
	}
	if more := len(events) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}

// prefer returns the events for which keep returns true, or all if there is none.
func prefer(list []*entry.Event, keep func(*entry.Event) bool) []*entry.Event {
	kept := slices.DeleteFunc(slices.Clone(list), func(s *entry.Event) bool { return !keep(s) })
	if len(kept) == 0 {
		return list
	}
	return kept
}

// addAffected adds the mark, entrant or alert that the void of target affects, if there is one:
// target itself, or, if target is a void, the event at the end of the chain of voids.
func (b *batch) addAffected(h *history, target *entry.Event) {
	for target.Voids != 0 {
		next, err := timeline.Load(b.timeline.Bucket(target.ContestID), target.ContestID, target.Voids)
		b.tx.Fail(err)
		target = &next
	}
	switch d := b.dataOf(target).(type) {
	case *score.ResultSet:
		h.marks = append(h.marks, ranked.Key{Split: d.Split, Competitor: d.Competitor})
		h.named = d.Category != "" || d.Organisation != ""
	case *score.CompetitorDefine:
		if !h.ranked {
			return
		}
		h.entrant = d.Competitor
	case *score.Alert:
	default:
		return
	}
	byRevision := func(s *entry.Event, revision uint64) int { return cmp.Compare(s.Revision, revision) }
	i, _ := slices.BinarySearchFunc(h.events, target.Revision, byRevision)
	h.events = slices.Insert(h.events, i, target)
}

// voidedBy returns the revisions of the voids of the voided events, by the revisions of
// the voided events. A void counts unless a later one voids it, so the events are visited
// from the last one.
func voidedBy(events []*entry.Event) map[uint64]uint64 {
	voided := map[uint64]uint64{}
	for _, s := range slices.Backward(events) {
		if s.Voids != 0 && voided[s.Revision] == 0 {
			voided[s.Voids] = s.Revision
		}
	}
	return voided
}

// standing returns the events that are not voided and have an effect, without the marks
// and without what a contest.reset has ended. The definitions come first: the last of them
// decide what all other events amount to. What competitor.defines make known of the
// competitors of a ranked contest is kept apart from its list, so any contest.define will do
// for them, also a later one.
func (h *history) standing() []*entry.Event {
	var definitions, entrants, others []*entry.Event
	last := map[score.Type]uint64{} // the revisions of the last events that are not voided
	for _, s := range h.events {
		if h.voidedBy[s.Revision] == 0 {
			last[s.Type] = s.Revision
		}
	}
	for _, s := range h.events {
		switch {
		case s.Revision < last[score.TypeContestReset] && score.EndedByReset(s.Type):
		case s.Revision < last[s.Type] && s.Type == score.TypeContestDecide: // whose winner may have left since
		case h.voidedBy[s.Revision] != 0 || s.Voids != 0 || s.Type == score.TypeResultSet:
		case h.ranked && s.Type == score.TypeCompetitorDefine:
			entrants = append(entrants, s)
		case s.Type == score.TypeContestDefine || s.Type == score.TypeCompetitorDefine:
			definitions = append(definitions, s)
		default:
			others = append(others, s)
		}
	}
	return slices.Concat(definitions, entrants, others)
}

// awardIDs returns the ids of the awards in the history, voided or not, each once.
func (b *batch) awardIDs(h *history) (ids []string) {
	for _, s := range h.events {
		if s.Type != score.TypeMedalAward {
			continue
		}
		if d, ok := b.dataOf(s).(*score.MedalAward); ok {
			ids = append(ids, d.AwardID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
