package fsm

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/fsm/ranked"
	"laurel/fsm/timeline"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/medal"
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
	for r, err := range timeline.Contest(b.tx.Bucket(database.Timeline), contestID, after) {
		b.tx.Fail(err)
		b.countRow()
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
		for r, err := range timeline.ContestBackward(b.tx.Bucket(database.Timeline), h.contestID) {
			b.tx.Fail(err)
			b.countRow()
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

// refreshMedalTable updates what the medal table has besides medals: the organisations,
// and the name that the contests give the competition. changed are the events that were
// voided or restored, as the timeline has them now.
func (b *batch) refreshMedalTable(e *entry.Event, changed []*entry.Event) {
	var named []string           // the organisations of the changed events
	orphans := map[string]bool{} // those of them that no event names
	rename := false
	for _, s := range changed {
		d := b.dataOf(s)
		for _, o := range organisations(d) {
			named, orphans[o] = append(named, o), true
		}
		_, names := competitionName(d)
		rename = rename || names
	}
	name, nameRevision := "", uint64(0)
	for r, err := range timeline.Competition(b.tx.Bucket(database.Timeline), e.Competition()) {
		b.tx.Fail(err)
		if len(orphans) == 0 && !rename {
			break
		}
		b.countRow()
		names := len(orphans) > 0 && (r.Is(score.TypeCompetitionDefine) || namesAny(r.JSON(), orphans))
		if !names && !(rename && r.Is(score.TypeContestDefine)) {
			continue
		}
		d := b.dataOf(b.decode(r))
		for _, o := range organisations(d) {
			delete(orphans, o)
		}
		if n, names := competitionName(d); names && r.Revision > nameRevision {
			name, nameRevision = n, r.Revision
		}
	}
	t := b.table(e.Competition())
	before := t.Clone()
	for _, o := range named {
		t.AddOrganisation(o)
	}
	t.Counts = slices.DeleteFunc(t.Counts, func(c medal.Count) bool { return orphans[c.Organisation] })
	if len(t.Counts) == 0 {
		t.Counts = nil // as in a table that never had any
	}
	if rename {
		t.NameByContests = name
	}
	if t.NameByContests != before.NameByContests || !slices.Equal(t.Counts, before.Counts) {
		b.tableChanged(t, e)
	}
}

// namesAny reports whether the data of an event, which is not a competition.define, names
// one of the organisations. It does not decode what names none of them.
func namesAny(data []byte, organisations map[string]bool) bool {
	member := []byte(`"organisation":`)
	for {
		_, rest, found := bytes.Cut(data, member) // a string cannot contain it: its quotes are escaped
		if !found {
			return false
		}
		name, _ := jsontext.AppendUnquote(nil, stringAt(rest))
		if organisations[string(name)] {
			return true
		}
		data = rest
	}
}

// stringAt returns the JSON string with which b begins, or nothing.
func stringAt(b []byte) []byte {
	if len(b) == 0 || b[0] != '"' {
		return nil
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[:i+1]
		}
	}
	return nil
}
