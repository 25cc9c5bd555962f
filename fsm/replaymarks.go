package fsm

import (
	"bytes"
	"cmp"
	"iter"
	"math"
	"slices"

	"laurel/fsm/entry"
	"laurel/fsm/ranked"
	"laurel/fsm/timeline"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/ranking"
)

// markToSet is a mark that a void affects, and the last result.set of it that counts; nil
// if there is none.
type markToSet struct {
	key   ranked.Key
	event *entry.Event
}

// marksToSet returns the marks that a void affects, each once: the one that it voids or
// restores, those from before a contest.reset that it voids or restores, or all if they
// amount to something else. before is the contest as it is, and after as it will be. All
// other marks stay.
func (b *batch) marksToSet(before, after *fold.Contest, h *history) (list []markToSet) {
	resetOf := func(c *fold.Contest) uint64 {
		if c == nil {
			return 0
		}
		return c.ResetRevision
	}
	was, is := resetOf(before), resetOf(after)
	keys := h.marks
	h.named = h.named || was != is || redefined(before, after)
	switch {
	case redefined(before, after):
		keys = append(keys, b.marksBetween(h.contestID, is, math.MaxUint64)...)
	case was != is:
		keys = append(keys, b.marksBetween(h.contestID, min(was, is), max(was, is))...)
	}
	at := map[ranked.Key]int{}
	for _, k := range keys {
		if _, known := at[k]; !known {
			at[k] = len(list)
			list = append(list, markToSet{key: k})
		}
	}
	b.folded += len(list)
	b.findLastMarks(list, at, is, h)
	return list
}

// marksBetween returns the marks that were set after a revision and before another one.
func (b *batch) marksBetween(contestID string, after, before uint64) (keys []ranked.Key) {
	for r, err := range timeline.Contest(b.timeline.Bucket(contestID), contestID, after) {
		b.tx.Fail(err)
		b.RowRead()
		if r.Revision >= before {
			break
		}
		if !r.Is(score.TypeResultSet) {
			continue
		}
		if d, _ := b.dataOf(b.decode(r)).(*score.ResultSet); d != nil {
			keys = append(keys, ranked.Key{Split: d.Split, Competitor: d.Competitor})
		}
	}
	return keys
}

// findLastMarks finds the last result.set of each mark of a list after the revision
// reset, that is not voided. at has their places in the list.
func (b *batch) findLastMarks(list []markToSet, at map[ranked.Key]int, reset uint64, h *history) {
	if len(list) == 0 {
		return
	}
	competitors := make([]string, len(list))
	for i, s := range list {
		competitors[i] = s.key.Competitor
	}
	missing := len(list)
	for d, s := range b.results(h, reset, b.prefixOf(competitors)) {
		if i, wanted := at[ranked.Key{Split: d.Split, Competitor: d.Competitor}]; wanted && list[i].event == nil {
			s.Data, list[i].event = d, s
			missing--
		}
		if missing == 0 {
			return
		}
	}
}

// results yields the result.sets of a contest after the revision reset that are not
// voided, the last one first. It decodes only those whose data begins with prefix.
func (b *batch) results(h *history, reset uint64, prefix []byte) iter.Seq2[*score.ResultSet, *entry.Event] {
	replayed := map[uint64]bool{}
	for _, s := range h.events {
		replayed[s.Revision] = true
	}
	return func(yield func(*score.ResultSet, *entry.Event) bool) {
		for r, err := range timeline.ContestBackward(b.timeline.Bucket(h.contestID), h.contestID) {
			b.tx.Fail(err)
			b.RowRead()
			if r.Revision < reset {
				return
			}
			if !r.Is(score.TypeResultSet) || !bytes.HasPrefix(r.JSON(), prefix) {
				continue
			}
			s := b.decode(r)
			voided := s.VoidedBy != 0
			if replayed[s.Revision] {
				voided = h.voidedBy[s.Revision] != 0
			}
			if d, _ := b.dataOf(s).(*score.ResultSet); !voided && d != nil && !yield(d, s) {
				return
			}
		}
	}
}

// prefixOf returns with what the data of each result.set of competitors begins, nil if
// they are several. What does not begin with it need not be decoded.
func (b *batch) prefixOf(competitors []string) []byte {
	if len(slices.Compact(slices.Clone(competitors))) != 1 {
		return nil
	}
	data, err := score.MarshalData(&score.ResultSet{Competitor: competitors[0]})
	if err != nil {
		b.tx.Fail(err)
		return nil
	}
	return bytes.TrimSuffix(data, []byte(`"split":""}`))
}

// setMarks sets the marks of a replayed contest, or removes them, and settles what their
// competitors' marks have in common.
func (b *batch) setMarks(c *fold.Contest, list []markToSet, h *history) {
	m := b.ranked.Contest(c)
	var gone []ranked.Key
	var competitors []string
	for _, s := range list {
		competitors = append(competitors, s.key.Competitor)
		if s.event == nil {
			gone = append(gone, s.key)
			continue
		}
		if d, ok := s.event.Data.(*score.ResultSet); ok {
			mark, _ := c.Definition.Mark(d) // the replay has checked it
			mark.Categories, mark.Organisation = "", ""
			m.Set(s.key.Split, mark)
		}
	}
	m.Remove(gone)
	slices.Sort(competitors)
	competitors = slices.Compact(competitors)
	var named map[string]ranking.Traits
	if h.named {
		named = b.traitsByTimeline(competitors, c.ResetRevision, h)
	}
	for _, competitor := range competitors {
		traits := m.Traits(competitor)
		if h.named {
			traits = named[competitor]
		}
		m.Settle(competitor, traits)
	}
	c.UpdateLeaders(m)
}

// traitsByTimeline returns what the results of competitors name, from those after the
// revision reset that are not voided.
func (b *batch) traitsByTimeline(competitors []string, reset uint64, h *history) map[string]ranking.Traits {
	found := make(map[string]ranking.Traits, len(competitors))
	if len(competitors) == 0 {
		return found
	}
	for _, competitor := range competitors {
		found[competitor] = ranking.Traits{}
	}
	for d := range b.results(h, reset, b.prefixOf(competitors)) {
		if t, wanted := found[d.Competitor]; wanted {
			t.Categories = t.Categories.With(ranking.NewCategories(d.Category))
			t.Organisation = cmp.Or(t.Organisation, d.Organisation) // the last one comes first
			found[d.Competitor] = t
		}
	}
	return found
}
