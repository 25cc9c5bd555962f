package fsm

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"laurel/score"
)

// What a machine has in memory is what it would read from its database: one that commits and
// forgets its records after every entry answers as one that does not, and has the same state.
func TestAMachineThatReadsItsRecordsAgainHasTheSameState(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(rt, root)
		defer h.end()
		forgetful := openMachine(rt, h.newDir(rt))
		defer forgetful.Close()
		for range rapid.IntRange(1, 80).Draw(rt, "entries") {
			h.commit(rt, h.posts(rt)...)
		}
		again := openMachine(rt, h.newDir(rt))
		defer again.Close()
		for _, e := range h.log {
			outcome := mustApplyEntry(rt, forgetful, e)
			forgetful.forget(rt)
			if other := mustApplyEntry(rt, again, e); !reflect.DeepEqual(outcome, other) {
				rt.Fatalf("entry %d:\n%+v\nwith the records in memory\n%+v", e.Index, outcome, other)
			}
		}
		want := snapshotOf(rt, h.m)
		for _, m := range []*Machine{forgetful, again} {
			if !bytes.Equal(snapshotOf(rt, m), want) {
				rt.Fatalf("the state is\n%s\nwith the records in memory\n%s", stateOf(rt, m), stateOf(rt, h.m))
			}
		}
	})
}

func mustApplyEntry(t tester, m *Machine, e Entry) [][]score.Result {
	t.Helper()
	outcome, err := m.Apply([]Entry{e}, e.Index)
	if err != nil {
		t.Fatal(err)
	}
	return outcome[0]
}

// forget commits and drops all records in memory.
func (m *Machine) forget(t tester) {
	t.Helper()
	m.applying.Lock()
	defer m.applying.Unlock()
	if err := m.commit(); err != nil {
		t.Fatal(err)
	}
	m.cache = newRecordCache()
}
