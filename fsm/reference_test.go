package fsm

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"laurel/fsm/database"
	"laurel/fsm/ranked"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/medal"
	"laurel/score/ranking"
)

// referenceStore is the simplest possible store: a list of the accepted events. Its state
// is computed from those that are not voided, each time.
type referenceStore struct {
	events []*acceptedEvent
}

type acceptedEvent struct {
	score.Event
	revision uint64
	target   *acceptedEvent // the event that a void voids
}

// expectedIdentity is what a store must find out about an event from its identity.
type expectedIdentity struct {
	repeats *acceptedEvent // the event is a duplicate of this one
	other   bool           // another event has this identity
	gap     uint64         // the expected seq, if the seq leaves a gap
}

func (s *referenceStore) of(source string) (list []*acceptedEvent) {
	for _, a := range s.events {
		if a.Source == source {
			list = append(list, a)
		}
	}
	return list
}

// rememberedIDs is the number of ids of each source by which repetitions are recognized.
const rememberedIDs = 1024

func (s *referenceStore) identify(t tester, e score.Event) expectedIdentity {
	posted := s.of(e.Source)
	var first *acceptedEvent
	switch n := uint64(len(posted)); {
	case e.Seq > n+1:
		return expectedIdentity{gap: n + 1}
	case e.Seq == n+1:
		return expectedIdentity{}
	case e.Seq > 0:
		first = posted[e.Seq-1]
	default:
		for _, a := range posted[max(0, len(posted)-rememberedIDs):] {
			if a.ID == e.ID {
				first = a
			}
		}
	}
	switch {
	case first == nil:
		return expectedIdentity{}
	case contentOf(t, first.Event) == contentOf(t, e):
		return expectedIdentity{repeats: first}
	}
	return expectedIdentity{other: true}
}

// contentOf returns everything that the bard gave.
func contentOf(t tester, e score.Event) string {
	data, err := score.MarshalData(e.Data)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%s %s %s", e.Type, e.ContestID, data)
	if e.IDGiven {
		text += " id " + e.ID
	}
	if e.TimeGiven {
		text += " time " + e.Time.UTC().String()
	}
	return text
}

// target returns the events that a void may mean: of those that it names those of its own
// source if there are any, and of these those that are not voided if there are any.
func (s *referenceStore) target(void score.Event) (found []*acceptedEvent) {
	voided := s.voided()
	var own, standing []*acceptedEvent
	for _, a := range s.events {
		d := void.Data.(*score.EventVoid)
		if a.ContestID != void.ContestID || d.Voids != "" && d.Voids != a.ID ||
			d.VoidsRevision != 0 && d.VoidsRevision != a.revision ||
			d.VoidsSource != "" && d.VoidsSource != a.Source || d.VoidsSeq != 0 && d.VoidsSeq != a.Seq {
			continue
		}
		found = append(found, a)
		if a.Source == void.Source {
			own = append(own, a)
		}
	}
	if len(own) > 0 {
		found = own
	}
	for _, a := range found {
		if voided[a] == nil {
			standing = append(standing, a)
		}
	}
	if len(standing) > 0 {
		return standing
	}
	return found
}

// voided returns the voids of the voided events. A void that is itself voided has no
// effect.
func (s *referenceStore) voided() map[*acceptedEvent]*acceptedEvent {
	by := map[*acceptedEvent]*acceptedEvent{}
	for _, a := range slices.Backward(s.events) {
		if a.target != nil && by[a] == nil {
			by[a.target] = a
		}
	}
	return by
}

func (s *referenceStore) accept(t tester, e score.Event, r score.Result) {
	a := &acceptedEvent{Event: e, revision: r.Revision}
	a.Seq = uint64(len(s.of(e.Source))) + 1
	if e.Type == score.TypeEventVoid {
		found := s.target(e)
		if len(found) != 1 || s.voided()[found[0]] != nil {
			t.Fatalf("the void of %s was accepted, but it may mean %d events", e.Data.(*score.EventVoid).Target(),
				len(found))
		}
		a.target = found[0]
	}
	s.events = append(s.events, a)
	if r.Revision != uint64(len(s.events)) || r.ID != e.ID || r.Seq != a.Seq {
		t.Fatalf("event %q of %s, seq %d, was accepted as %+v; want revision %d", e.ID, e.Source, a.Seq, r,
			len(s.events))
	}
}

// referenceState is the state that results from the events.
type referenceState struct {
	contests map[string]*fold.Contest
	marks    map[string]*referenceMarks
	tables   map[string]*medal.Table
	awards   map[string]award
}

func (s *referenceStore) fold() (*referenceState, *score.Problem) {
	f := &referenceState{map[string]*fold.Contest{}, map[string]*referenceMarks{}, map[string]*medal.Table{},
		map[string]award{}}
	voided := s.voided()
	reset, kind := map[string]uint64{}, map[string]string{}
	for _, a := range s.events {
		if voided[a] != nil {
			continue
		}
		switch d := a.Data.(type) {
		case *score.ContestReset:
			reset[a.ContestID] = a.revision
		case *score.ContestDefine:
			kind[a.ContestID] = cmp.Or(d.Kind, kind[a.ContestID])
		}
	}
	// The definitions decide what all other events amount to, and which marks a contest can
	// take. A ranked contest has its start list beside its definition.
	phase := func(a *acceptedEvent) int {
		switch {
		case a.Type == score.TypeCompetitorDefine && kind[a.ContestID] == score.Ranked:
			return 1
		case a.Type == score.TypeContestDefine, a.Type == score.TypeCompetitorDefine:
			return 0
		case a.Type == score.TypeResultSet:
			return 3
		}
		return 2
	}
	for now := range 4 {
		for _, a := range s.events {
			if voided[a] != nil || a.target != nil || phase(a) != now {
				continue
			}
			c := f.contests[a.ContestID]
			if c != nil && a.revision < reset[a.ContestID] && score.EndedByReset(a.Type) {
				for _, o := range organisations(a.Data) {
					f.tables[a.Competition()].AddOrganisation(o)
				}
				continue
			}
			if p := f.event(&a.Event); p != nil {
				return nil, p
			}
			if a.Type == score.TypeContestReset {
				c.ResetRevision = a.revision
			}
		}
	}
	for id, c := range f.contests {
		c.UpdateLeaders(f.marks[id])
		for _, a := range s.events {
			switch a.Type {
			case score.TypeCompetitionDefine, score.TypeMedalAward, score.TypeMedalRevoke, score.TypeAlert:
			default:
				if a.ContestID == id {
					c.Revision, c.UpdatedAt = a.revision, a.Time
				}
			}
		}
	}
	return f, nil
}

func (f *referenceState) event(e *score.Event) *score.Problem {
	table := f.tables[e.Competition()]
	if table == nil {
		table = &medal.Table{Competition: e.Competition()}
		f.tables[e.Competition()] = table
	}
	for _, o := range organisations(e.Data) {
		table.AddOrganisation(o)
	}
	switch d := e.Data.(type) {
	case *score.Alert:
		return nil
	case *score.CompetitionDefine:
		table.Define(d)
		return nil
	case *score.MedalAward:
		k := e.Competition() + "\x00" + d.AwardID
		if a, ok := f.awards[k]; ok && (!a.Revoked || a.ContestID != e.ContestID) {
			return score.Problemf(score.IDConflict, "%q is awarded twice", d.AwardID)
		}
		f.awards[k] = award{ContestID: e.ContestID, Medal: d.Medal, Organisation: d.Organisation}
		table.AddMedals(d.Organisation, d.Medal, 1)
		return nil
	case *score.MedalRevoke:
		k := e.Competition() + "\x00" + d.AwardID
		a, ok := f.awards[k]
		if !ok || a.Revoked || a.ContestID != e.ContestID {
			return score.Problemf(score.NotFound, "%q is not awarded", d.AwardID)
		}
		table.AddMedals(a.Organisation, a.Medal, -1)
		a.Revoked = true
		f.awards[k] = a
		return nil
	case *score.ContestDefine:
		if f.contests[e.ContestID] == nil {
			f.contests[e.ContestID] = fold.NewContest(e.ContestID)
			f.marks[e.ContestID] = newReferenceMarks(f.contests[e.ContestID])
		}
		if d.CompetitionName != "" || d.Clears("competition_name") {
			table.NameByContests = d.CompetitionName
		}
	}
	c := f.contests[e.ContestID]
	if c == nil {
		return score.Problemf(score.NotFound, "%s is not defined", e.ContestID)
	}
	return c.Fold(e, f.marks[e.ContestID], fold.Replay)
}

// referenceMarks holds marks by split and competitor, and sorts them for each question.
type referenceMarks struct {
	contest  *fold.Contest
	of       map[[2]string]ranking.Mark
	traits   map[string]ranking.Traits
	entrants map[string]score.Entrant
}

func newReferenceMarks(c *fold.Contest) *referenceMarks {
	return &referenceMarks{c, map[[2]string]ranking.Mark{}, map[string]ranking.Traits{}, map[string]score.Entrant{}}
}

func (m *referenceMarks) Traits(competitor string) ranking.Traits { return m.traits[competitor] }

func (m *referenceMarks) Set(split string, mark ranking.Mark) (total int, restated bool) {
	k := [2]string{split, mark.Competitor}
	before := m.traits[mark.Competitor]
	if old, replaces := m.of[k]; replaces {
		m.traits[mark.Competitor] = before.With(&mark, &old)
	} else {
		m.traits[mark.Competitor] = before.With(&mark, nil)
	}
	m.of[k] = mark
	m.Restate(mark.Competitor)
	return len(m.all(split)), true
}

func (m *referenceMarks) Restate(competitor string) {
	splits := m.contest.Definition.AllSplits()
	marks := make([]*ranking.Mark, len(splits))
	for i, split := range splits {
		if mark, ok := m.of[[2]string{split, competitor}]; ok {
			marks[i] = &mark
		}
	}
	m.contest.Known(m.traits[competitor], competitor, m).Restate(marks)
	for i, mark := range marks {
		if mark != nil {
			m.of[[2]string{splits[i], competitor}] = *mark
		}
	}
}

func (m *referenceMarks) Entrant(code string) (e score.Entrant, entered bool) {
	e, entered = m.entrants[code]
	return e, entered
}

func (m *referenceMarks) SetEntrant(e score.Entrant) {
	m.entrants[e.Code] = e
	m.Restate(e.Code)
}

func (m *referenceMarks) FirstEntrants(n int) []score.Entrant {
	list := slices.SortedFunc(maps.Values(m.entrants), score.Entrant.Compare)
	return list[:min(n, len(list))]
}

func (m *referenceMarks) Has(competitor string) bool {
	for k := range m.of {
		if k[1] == competitor {
			return true
		}
	}
	return false
}

func (m *referenceMarks) Some(n int) []string {
	marked := map[string]bool{}
	for k := range m.of {
		marked[k[1]] = true
	}
	list := slices.Sorted(maps.Keys(marked))
	return list[:min(n, len(list))]
}

func (m *referenceMarks) Clear() {
	clear(m.of)
	clear(m.traits)
}

func (m *referenceMarks) First(split string, n int) (first []ranking.Mark, total int) {
	list := m.all(split)
	return list[:min(n, len(list))], len(list)
}

func (m *referenceMarks) all(split string) (list []ranking.Mark) {
	for k, mark := range m.of {
		if k[0] == split {
			list = append(list, mark)
		}
	}
	direction := m.contest.Definition.Direction()
	slices.SortFunc(list, func(a, b ranking.Mark) int {
		return cmp.Or(direction.Order(&a).Compare(direction.Order(&b)), strings.Compare(a.Competitor, b.Competitor))
	})
	return list
}

// lines returns a line for each record that the state machine should have.
func (f *referenceState) lines(t tester) (lines []string) {
	line := func(kind, key string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s %q %s", kind, key, b))
	}
	for id, c := range f.contests {
		line("contests", id, c)
		splits := map[string]bool{}
		for k, m := range f.marks[id].of {
			line("mark", id+"\x00"+k[0]+"\x00"+k[1], m)
			splits[k[0]] = true
		}
		for competitor, traits := range f.marks[id].traits {
			if traits != (ranking.Traits{}) {
				line("traits", id+"\x00"+competitor, traits)
			}
		}
		for code, e := range f.marks[id].entrants {
			line("entrants", id+"\x00c\x00"+code, e)
		}
		for split := range splits {
			line("total", id+"\x00"+split, len(f.marks[id].all(split)))
		}
	}
	for k, a := range f.awards {
		line("awards", k, a)
	}
	for competition, table := range f.tables {
		if table.Name != "" || table.NameByContests != "" || len(table.Neutral)+len(table.Counts) > 0 {
			line("medals", competition, withoutRevision(*table))
		}
	}
	slices.Sort(lines)
	return lines
}

func withoutRevision(table medal.Table) medal.Table {
	table.Revision, table.UpdatedAt = 0, noon
	return table
}

var corrected = regexp.MustCompile(`"corrected":[0-9]+,`)

// machineLines returns the same lines for the records of a machine.
func machineLines(t tester, m *Machine) (lines []string) {
	for _, r := range append(records(t, snapshotOf(t, m)), markRecords(t, m)...) {
		switch r.bucket {
		case "contests":
			// It depends on the plays that there were when a definition came, or was voided.
			r.value = corrected.ReplaceAllString(r.value, "")
		case "mark", "awards", "traits", "total":
		case "entrants":
			if r.value == "" {
				continue // its place on the start list
			}

		case "medals":
			var table medal.Table
			if err := json.Unmarshal([]byte(r.value), &table); err != nil {
				t.Fatal(err)
			}
			table = withoutRevision(table)
			if table.Name == "" && table.NameByContests == "" && len(table.Neutral)+len(table.Counts) == 0 {
				continue // created by an event that was voided; nothing is left of the table
			}
			b, err := json.Marshal(table)
			if err != nil {
				t.Fatal(err)
			}
			r.value = string(b)
		default:
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %q %s", r.bucket, r.key, r.value))
	}
	slices.Sort(lines)
	return lines
}

// markRecords returns a record for each mark of a machine, for what the marks of each
// competitor name, and for each number of marks.
func markRecords(t tester, m *Machine) (list []record) {
	tx, _, err := m.beginRead()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	add := func(bucket, key string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, record{bucket, key, string(b)})
	}
	w := ranked.NewWriter(database.NewTx(tx), nil, nil)
	for c, err := range storedContests(tx)("") {
		if err != nil {
			t.Fatal(err)
		}
		named := map[string]bool{}
		for number, split := range c.Definition.AllSplits() {
			for mark, err := range ranked.Marks(tx, c.ID, number) {
				if err != nil {
					t.Fatal(err)
				}
				add("mark", c.ID+"\x00"+split+"\x00"+mark.Competitor, mark)
				traits := w.Contest(c).Traits(mark.Competitor)
				if !named[mark.Competitor] && traits != (ranking.Traits{}) {
					add("traits", c.ID+"\x00"+mark.Competitor, traits)
				}
				named[mark.Competitor] = true
			}
			if total, err := ranked.Total(tx, c.ID, split); err != nil {
				t.Fatal(err)
			} else if total > 0 {
				add("total", c.ID+"\x00"+split, total)
			}
		}
	}
	return list
}
