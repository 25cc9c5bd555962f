package fsm

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/fsm/entry"
	"laurel/fsm/timeline"
	"laurel/score"
	"laurel/score/medal"
)

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
	if len(named) == 0 && !rename {
		return
	}
	name, nameRevision := "", uint64(0)
	for r, err := range timeline.Competition(b.timeline.CompetitionBucket(e.Competition()), e.Competition()) {
		b.tx.Fail(err)
		if len(orphans) == 0 && !rename {
			break
		}
		b.RowRead()
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
