package fsm

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"laurel/fsm/view"
	"laurel/score"
)

// checkResults compares the results of a post with the reference store.
func (h *randomHistory) checkResults(t tester, p score.Post, results []score.Result) {
	last := results[len(results)-1]
	if p.Mode == score.AllOrNone && last.Problem != nil {
		if len(results) != 1 ||
			len(p.Events) > 1 && (last.Problem.Index == nil || last.Problem.ID != p.Events[*last.Problem.Index].ID) {
			t.Fatalf("an array that was refused has the results %+v", results)
		}
		return
	}
	if len(results) != len(p.Events) && last.Problem == nil {
		t.Fatalf("%d events have %d results", len(p.Events), len(results))
	}
	for i, r := range results {
		e := p.Events[i]
		known := h.plain.identify(t, e)
		switch {
		case known.gap != 0:
			if r.Problem == nil || r.Problem.Code != score.SeqGap || r.Problem.ExpectedSeq != known.gap {
				t.Fatalf("%s seq %d leaves a gap; the result is %+v", e.Source, e.Seq, r)
			}
		case known.other:
			if r.Problem == nil || r.Problem.Code != score.IDConflict {
				t.Fatalf("%s seq %d id %q is another event; the result is %+v", e.Source, e.Seq, e.ID, r)
			}
		case known.repeats != nil:
			if r.Status != score.Duplicate || r.Revision != known.repeats.revision || r.Seq != known.repeats.Seq ||
				r.ID != known.repeats.ID {
				t.Fatalf("%s seq %d id %q was applied at revision %d; the result is %+v", e.Source, e.Seq, e.ID,
					known.repeats.revision, r)
			}
		case r.Problem == nil:
			if r.Status != score.Applied {
				t.Fatalf("the result of a new event is %+v", r)
			}
			h.plain.accept(t, e, r)
		case e.Type == score.TypeEventVoid:
			h.checkRefusedVoid(t, e, r.Problem)
		}
	}
}

// checkRefusedVoid checks that a void is refused only if it names no event, or if the
// other events cannot be applied without the voided one.
func (h *randomHistory) checkRefusedVoid(t tester, e score.Event, p *score.Problem) {
	found := h.plain.target(e)
	if len(found) != 1 || h.plain.voided()[found[0]] != nil {
		return
	}
	with := referenceStore{append(slices.Clone(h.plain.events),
		&acceptedEvent{Event: e, revision: uint64(len(h.plain.events)) + 1, target: found[0]})}
	if _, impossible := with.fold(); impossible == nil && !strings.Contains(p.Detail, "has marks") {
		t.Fatalf("the void of %q was refused (%s), but the other events can be applied", found[0].ID, p)
	}
}

// check compares the state and the timelines with the reference store.
func (h *randomHistory) check(t *rapid.T) {
	f, p := h.plain.fold()
	if p != nil {
		t.Fatalf("the accepted events cannot be applied: %v", p)
	}
	want, got := f.lines(t), machineLines(t, h.m)
	if !slices.Equal(want, got) {
		t.Fatalf("the state is\n%s\nthe reference store has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	wantLists(t, h.m)
	wantSections(t, h.m)
	h.checkBoards(t, f)
	voided := h.plain.voided()
	err := h.m.View(func(v *view.View) error {
		if v.Revision() != uint64(len(h.plain.events)) || h.m.Revision() != v.Revision() {
			t.Fatalf("the revision is %d, the view's %d; %d events were accepted", h.m.Revision(), v.Revision(),
				len(h.plain.events))
		}
		for _, source := range []string{"s1", "s2"} {
			posted := h.plain.of(source)
			b, ok, err := v.Bard(source)
			if err != nil || ok != (len(posted) > 0) || b.LastSeq != uint64(len(posted)) ||
				ok && b.LastID != posted[len(posted)-1].ID {
				t.Fatalf("%s is %+v (%v); it has posted %d events", source, b, err, len(posted))
			}
		}
		for _, id := range []string{"G/m1", "G/m2", "G/r1", "G/r2", "G", "G/none"} {
			list, next, err := v.Timeline(id, 0, 1000)
			if err != nil || next != 0 {
				return fmt.Errorf("next %d: %w", next, err)
			}
			for _, a := range h.plain.events {
				if a.ContestID != id {
					continue
				}
				var by, voids uint64
				if c := f.contests[id]; c != nil && a.revision < c.ResetRevision && score.EndedByReset(a.Type) {
					by = c.ResetRevision
				}
				if v := voided[a]; v != nil {
					by = v.revision
				}
				if a.target != nil {
					voids = a.target.revision
				}
				e := list[0]
				if e.Revision != a.revision || e.ID != a.ID || e.Seq != a.Seq || e.Source != a.Source ||
					e.VoidedBy != by || e.Voids != voids || !e.Time.Equal(a.Time) {
					t.Fatalf("the timeline of %s has %+v; want %+v voided by %d", id, e, a, by)
				}
				list = list[1:]
			}
			if len(list) > 0 {
				t.Fatalf("the timeline of %s has %d events too many", id, len(list))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
