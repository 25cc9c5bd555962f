package raftlog

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// history describes the log and the snapshots of a member.
type history struct {
	first, last uint64 // of the log; 0 if it is empty
	snapshots   []uint64
}

// newHistory makes a member with a history in a new directory, which joined at the entry at joined.
func newHistory(t *testing.T, h history, joined uint64) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := openStore(t, dir)
	f := &follower{t: t, store: s, members: raft.Configuration{}}
	_, f.master = raft.NewInmemTransport("")
	errs := []error{s.Stable.SetUint64([]byte(termKey), 3)}
	if h.last > 0 && h.first > 1 {
		s.Log.SnapshotStored(h.first-1, 1)
	}
	for i := h.first; i <= h.last && i > 0; i++ {
		errs = append(errs, s.Log.StoreLog(f.entry(i, 1)))
	}
	for _, index := range h.snapshots {
		f.storeSnapshot(index, 1)
	}
	if err := errors.Join(append(errs, s.MarkJoined(joined))...); err != nil {
		t.Fatal(err)
	}
	s.Close()
	return dir
}

func historyOf(t *testing.T, s *Store) (h history) {
	t.Helper()
	list, err := s.Snapshots.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, meta := range list {
		h.snapshots = append(h.snapshots, meta.Index)
	}
	if h.first, h.last, err = bounds(s.wal); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h history) equals(other history) bool {
	return h.first == other.first && h.last == other.last && slices.Equal(h.snapshots, other.snapshots)
}

func wantGoBack(t *testing.T, err error, index uint64) {
	t.Helper()
	if back, ok := errors.AsType[*GoBackError](err); !ok || back.Index != index {
		t.Errorf("it ends with %v; want that it goes back to %d", err, index)
	}
}

func TestAFrontendThatGoesBackKeepsWhatWasCertifiedAndNothingElse(t *testing.T) {
	for what, c := range map[string]struct {
		before history
		index  uint64
		after  history
		kept   uint64
	}{
		"a log without snapshots":            {history{1, 9, nil}, 7, history{1, 7, nil}, 7},
		"nothing came afterwards":            {history{1, 7, nil}, 7, history{1, 7, nil}, 7},
		"a snapshot before":                  {history{1, 9, []uint64{3}}, 7, history{1, 7, []uint64{3}}, 7},
		"a snapshot afterwards":              {history{1, 9, []uint64{8, 3}}, 7, history{1, 7, []uint64{3}}, 7},
		"a snapshot of the very entry":       {history{1, 9, []uint64{7}}, 7, history{1, 7, []uint64{7}}, 7},
		"only snapshots afterwards":          {history{1, 9, []uint64{9, 8}}, 7, history{1, 7, nil}, 7},
		"a log that begins after a snapshot": {history{4, 9, []uint64{8, 3}}, 7, history{4, 7, []uint64{3}}, 7},
		"a log that begins too late":         {history{9, 10, []uint64{8}}, 7, history{}, 0},
		"a log that ends too early":          {history{1, 5, nil}, 7, history{}, 0},
		"a false snapshot without a log":     {history{0, 0, []uint64{20}}, 7, history{}, 0},
		"nothing that was ever certified":    {history{1, 9, []uint64{3}}, 0, history{}, 0},
	} {
		t.Run(what, func(t *testing.T) {
			dir := newHistory(t, c.before, min(8, max(c.before.last, 1)))
			s := openStore(t, dir)
			if got := historyOf(t, s); !got.equals(c.before) {
				t.Fatalf("it has %+v before; want %+v", got, c.before)
			}
			wantGoBack(t, s.GoBack(c.index, "it has another history", true), c.index)
			wantGoBack(t, s.GoBack(1, "again", true), c.index) // the same way back
			s.Close()
			for n := range 3 { // killed before the state was discarded, and started again
				s = openStore(t, dir)
				if got := historyOf(t, s); !got.equals(c.after) {
					t.Errorf("start %d: it has %+v; want %+v", n, got, c.after)
				}
				if r := s.Return(); !r.Pending || r.Index != c.kept || r.Forgetful() != (c.kept == 0) || !r.Left(c.kept+1) {
					t.Errorf("start %d: it has gone back like this: %+v", n, r)
				}
				if s.JoinedAt() > c.kept || !s.Existing {
					t.Errorf("start %d: it has joined at %d", n, s.JoinedAt())
				}
				s.Close()
			}
			if len(c.after.snapshots) > 0 {
				return // the test's are empty
			}
			s = openStore(t, dir)
			m, err := s.OpenMachine()
			if err != nil {
				t.Fatal(err)
			}
			m.Close()
			s.Close()
			s = openStore(t, dir)
			if r := s.Return(); r.Pending || r.Settled || r.Index != c.kept {
				t.Errorf("at last it has gone back like this: %+v", r)
			}
			if err := s.SettleReturn(); err != nil || s.Return().Forgetful() || s.Return().Left(c.kept+1) {
				t.Errorf("settled: %+v, %v", s.Return(), err)
			}
		})
	}
}

// A kill between two steps leaves a part of the snapshots, or a longer log.
func TestAWayBackThatAKillInterruptsIsGoneToItsEnd(t *testing.T) {
	before, after := history{4, 9, []uint64{8, 3}}, history{4, 7, []uint64{3}}
	for what, step := range map[string]func(s *Store) error{
		"before the first step":         func(*Store) error { return nil },
		"after snapshots were removed":  func(s *Store) error { return s.Snapshots.RemoveAfter(7) },
		"after the log was shortened":   func(s *Store) error { return s.wal.DeleteRange(8, 9) },
		"after the identity was stored": func(s *Store) error { s.identity.JoinedAt = 7; return s.identity.write(s.dir) },
	} {
		dir := newHistory(t, before, 8)
		s := openStore(t, dir)
		wantGoBack(t, s.GoBack(7, "it has another history", true), 7)
		if err := step(s); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s = openStore(t, dir)
		if got := historyOf(t, s); !got.equals(after) || s.Return().Index != 7 || s.JoinedAt() != 7 {
			t.Errorf("%s: it has %+v, joined at %d", what, got, s.JoinedAt())
		}
	}
}

// started opens a store and its state machine, and closes this one.
func started(t *testing.T, dir string) *Store {
	t.Helper()
	s := openStore(t, dir)
	m, err := s.OpenMachine()
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	return s
}

// wantUndecided wants the error of a member that stays down until an operator starts it again.
func wantUndecided(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*ContradictionError](err)
	if !ok || !e.Undecided || !strings.Contains(e.Error(), "until it is started again") {
		t.Errorf("it ends with %v; want that an operator looks at it, and may start it again", err)
	}
}

func TestAFrontendThatGoesBackAThirdTimeInAnHourWaitsForAnOperator(t *testing.T) {
	dir := newHistory(t, history{1, 9, nil}, 1)
	s := started(t, dir)
	wantGoBack(t, s.GoBack(7, "it has another history", true), 7)
	s.Close()
	s = started(t, dir)
	wantGoBack(t, s.GoBack(6, "it has another history", false), 6) // there may be no other one
	s.Close()
	s = started(t, dir)
	r := s.Return()
	r.Times[0] = r.Times[0].Add(-returnsWithin)
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	wantGoBack(t, s.GoBack(5, "it has another history", true), 0) // the second one: what it kept may be wrong
	s.Close()
	for range 2 { // a third and a fourth
		s = started(t, dir)
		if r := s.Return(); r.Pending || r.Settled || time.Since(r.Times[len(r.Times)-1]) > returnsWithin || !r.Forgetful() {
			t.Errorf("it has gone back like this: %+v", r)
		}
		wantUndecided(t, s.GoBack(0, "it has another history", true))
		wantUndecided(t, s.GoBack(5, "again", true)) // the same way back
		s.Close()
	}
}

func TestAFrontendKeepsWhatWasCertifiedHoweverOftenNobodyHasProvenOtherwise(t *testing.T) {
	dir := newHistory(t, history{1, 9, nil}, 1)
	for n := range maxReturns + 2 {
		s := started(t, dir)
		if err := s.GoBack(7, "no three agree", false); n < maxReturns {
			wantGoBack(t, err, 7)
		} else {
			wantUndecided(t, err)
		}
		s.Close()
	}
	if got := historyOf(t, started(t, dir)); !got.equals(history{1, 7, nil}) {
		t.Errorf("it has %+v", got)
	}
}

// If no three agree, nobody may have what it would throw away.
func TestAFrontendThrowsNothingAwayThatNobodyHasProvenOtherwise(t *testing.T) {
	for what, h := range map[string]history{
		"nothing was certified":    {1, 9, nil},
		"the log begins too late":  {9, 10, []uint64{8}},
		"the log ends too early":   {1, 5, nil},
		"there is only a snapshot": {0, 0, []uint64{20}},
	} {
		dir := newHistory(t, h, 1)
		index := uint64(7)
		if what == "nothing was certified" {
			index = 0
		}
		s := openStore(t, dir)
		t.Log(what)
		wantUndecided(t, s.GoBack(index, "no three agree", false))
		s.Close()
		s = openStore(t, dir) // and what it has is still there
		if got := historyOf(t, s); !got.equals(h) {
			t.Errorf("%s: it has %+v afterwards", what, got)
		}
		wantGoBack(t, s.GoBack(index, "a quorum has certified another history", true), index)
		s.Close()
	}
}

// Whether it has everything again is looked at by another goroutine.
func TestAFrontendThatGoesBackAgainIsNotTakenForBack(t *testing.T) {
	dir := newHistory(t, history{1, 9, nil}, 1)
	s := openStore(t, dir)
	wantGoBack(t, s.GoBack(7, "it has another history", true), 7)
	s.Close()
	s = openStore(t, dir)
	m, err := s.OpenMachine()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	wantGoBack(t, s.GoBack(7, "again", true), 0)
	if err := s.SettleReturn(); err != nil {
		t.Fatal(err)
	}
	if r, err := loadReturn(dir); err != nil || !r.Pending || r.Settled {
		t.Errorf("it is to go back like this: %+v, %v", r, err)
	}
	s.Close()
}
