package fsm

import (
	"bytes"
	"slices"
	"testing"

	"laurel/fsm/entry"
	"laurel/fsm/rounds"
	"laurel/score"
)

// sealNow seals the round with a number.
func sealNow(t tester, m *Machine, number uint64) *score.Problem {
	t.Helper()
	return applySeal(t, m, entry.EncodeSeal(number))
}

func applySeal(t tester, m *Machine, data []byte) *score.Problem {
	t.Helper()
	index := m.Applied() + 1
	outcome, err := m.Apply([]Entry{{index, data}}, index)
	if err != nil {
		t.Fatal(err)
	}
	return outcome[0][0][0].Problem
}

func mustSeal(t tester, m *Machine) *rounds.Sealed {
	t.Helper()
	_, next := m.Rounds().Unsealed()
	if p := sealNow(t, m, next); p != nil {
		t.Fatal(p)
	}
	list := m.Rounds().Sealed(next)
	if len(list) != 1 {
		t.Fatalf("the rounds from %d on are %v", next, list)
	}
	return list[0]
}

func TestASealDoesNothingInAPlainStoreOrWithAWrongNumber(t *testing.T) {
	plain := newMachine(t)
	wantCode(t, "a seal of a plain store", sealNow(t, plain, 1), score.StatusConflict)
	if plain.Rounds().Sealed(0) != nil {
		t.Error("a plain store has rounds")
	}
	m := newSwornMachine(t)
	wantCode(t, "round 0", applySeal(t, m, []byte{3, 4<<3 | 2, 0}), score.InvalidEvent)
	wantCode(t, "round 2", sealNow(t, m, 2), score.StatusConflict)
	mustSeal(t, m)
	wantCode(t, "round 1 again", sealNow(t, m, 1), score.StatusConflict)
	if heads := m.Rounds().Heads(0); len(heads) != 1 || heads[0].Size != 1 {
		t.Errorf("the heads are %v", heads)
	}
}

func TestRoundsSurviveSnapshots(t *testing.T) {
	m := newSwornMachine(t)
	for range 3 {
		mustSeal(t, m)
	}
	mustSigned(t, m, swornChanges(t)[0])
	other := newMachine(t)
	if err := other.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
		t.Fatal(err)
	}
	a, b := mustSeal(t, m), mustSeal(t, other)
	if a.Round != b.Round || a.Head != b.Head || !slices.Equal(m.Rounds().Heads(0), other.Rounds().Heads(0)) {
		t.Errorf("the rounds are %v and %v", a.Round, b.Round)
	}
}
