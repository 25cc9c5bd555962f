package e2e

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

func TestTheSpecificationAcceptsWhatMayBeRead(t *testing.T) {
	op := func(call, back int64, v verb, revision uint64, value int64) porcupine.Operation {
		return porcupine.Operation{Input: request{thing: "A", verb: v, to: value}, Call: call, Return: back,
			Output: observation{revision, value}}
	}
	first, second := op(1, 2, add, 1, 0), op(5, 8, add, 3, 0)
	for _, c := range []struct {
		what string
		may  bool
		ops  []porcupine.Operation
	}{
		{"the new score after its ack", true, []porcupine.Operation{op(9, 10, look, 3, 2)}},
		{"the old score after the ack of the new", false, []porcupine.Operation{op(9, 10, look, 1, 1)}},
		{"the old score while the new is posted", true, []porcupine.Operation{op(6, 7, look, 1, 1)}},
		{"the new score before its ack", true, []porcupine.Operation{op(6, 7, look, 3, 2)}},
		{"the new score and then the old", false, []porcupine.Operation{op(5, 6, look, 3, 2), op(7, 8, look, 1, 1)}},
		{"the new score and, begun earlier, the old", true,
			[]porcupine.Operation{op(5, 6, look, 3, 2), op(6, 8, look, 1, 1)}},
		{"the new score before it was posted", false, []porcupine.Operation{op(3, 4, look, 3, 2)}},
		{"another value than its revision's", false, []porcupine.Operation{op(9, 10, look, 3, 1)}},
		{"a revision that no event made", false, []porcupine.Operation{op(6, 7, look, 2, unseen)}},
		{"a revision without its value", true, []porcupine.Operation{op(9, 10, look, 3, unseen)}},
		{"an event of unknown outcome that had an effect late", true,
			[]porcupine.Operation{op(3, never, add, 4, 0), op(9, 10, look, 3, 2), op(11, 12, look, 4, 3)}},
		{"an event of unknown outcome, before it was posted", false,
			[]porcupine.Operation{op(11, never, add, 4, 0), op(9, 10, look, 4, 3)}},
		{"what a correction set", true, []porcupine.Operation{op(9, 10, set, 4, 7), op(11, 12, look, 4, 7)}},
		{"what was there before a correction", false,
			[]porcupine.Operation{op(9, 10, set, 4, 7), op(11, 12, look, 3, 2)}},
		{"an event that is acked at an older revision", false, []porcupine.Operation{op(9, 10, add, 2, 0)}},
	} {
		h := newHistory()
		h.known = append([]porcupine.Operation{first, second}, c.ops...)
		h.chain()
		if err := h.check(); (err == nil) != c.may {
			t.Errorf("%s: may be seen %v, judged %v", c.what, c.may, err)
		}
		// The pairs are equal except for the place of the error.
		if output := conflicts(h.known, h.known); (output == "") != c.may {
			t.Errorf("%s: may be seen %v, and the contradictions are %q", c.what, c.may, output)
		}
	}
}

func TestTheSpecificationAcceptsWhatAListMayShow(t *testing.T) {
	for _, c := range []struct {
		list map[string]uint64
		may  bool
	}{
		{map[string]uint64{"A": 1, "B": 2}, true},
		{map[string]uint64{"A": 3, "B": 2}, true},
		{map[string]uint64{"A": 3, "B": 4}, true},
		{map[string]uint64{"A": 1, "B": 4}, false},
	} {
		h := newHistory()
		for i, thing := range []string{"A", "B", "A", "B"} {
			h.known = append(h.known, porcupine.Operation{Input: request{thing: thing, verb: add}, Call: 1, Return: 9,
				Output: observation{revision: uint64(i + 1)}})
		}
		h.chain()
		h.lists = []map[string]uint64{c.list}
		if err := h.check(); (err == nil) != c.may {
			t.Errorf("%v: may be shown %v, judged %v", c.list, c.may, err)
		}
	}
}

func TestTheCheckerFindsALostAckedEvent(t *testing.T) {
	for _, c := range []struct {
		what      string
		timelines map[string]uint64
		fine      bool
	}{
		{"both are there", map[string]uint64{"acked": 1, "open": 2}, true},
		{"the one of unknown outcome never had an effect", map[string]uint64{"acked": 1}, true},
		{"the acked one is lost", map[string]uint64{"open": 2}, false},
		{"the acked one is elsewhere", map[string]uint64{"acked": 2}, false},
		{"one came from nowhere", map[string]uint64{"acked": 1, "what": 2}, false},
	} {
		h := newHistory()
		h.acked(0, request{thing: "A", verb: add, event: "acked"}, 1)
		h.unknown(0, request{thing: "A", verb: add, event: "open"})
		events, err := h.close(c.timelines)
		if (err == nil) != c.fine || c.fine && events != len(c.timelines) {
			t.Errorf("%s: %d events, %v", c.what, events, err)
		}
	}
}

func TestAnAnswerMayBeAsOldAsItsAge(t *testing.T) {
	op := func(call, back int64, v verb, revision uint64, value int64) porcupine.Operation {
		return porcupine.Operation{Input: request{thing: "A", verb: v}, Call: call, Return: back,
			Output: observation{revision, value}}
	}
	for _, c := range []struct {
		what string
		may  bool
		look porcupine.Operation
	}{
		{"it was current when it was asked for, less its age", true, op(7, 20, look, 1, 1)},
		{"another was acked before", false, op(9, 20, look, 1, 1)},
		{"it is new", true, op(9, 20, look, 3, 2)},
		{"it was not posted", false, op(1, 4, look, 3, 2)},
		{"its value is another's", false, op(9, 20, look, 3, 1)},
	} {
		h := newHistory()
		h.known = []porcupine.Operation{op(1, 2, add, 1, 0), op(5, 8, add, 3, 0)}
		h.aged = []porcupine.Operation{c.look}
		h.chain()
		if err := h.check(); (err == nil) != c.may {
			t.Errorf("%s: may be shown %v, judged %v", c.what, c.may, err)
		}
	}
}
