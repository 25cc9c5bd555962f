package raftlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/fsm"
	"laurel/trust/pki"
)

// gobackFile, in the data directory, says that this member leaves its history, or has left
// it.
const gobackFile = "goback.json"

// A member goes back by itself at most maxReturns times within returnsWithin. If that does
// not help, it must be looked at, and an operator starts it again.
const (
	maxReturns    = 2
	returnsWithin = time.Hour
)

// Return is the way back of a member of a sworn group to what a quorum of frontends has
// certified. The zero value is none.
//
// Its log is shortened behind the last round that it has cosigned, and its state is made
// anew from what is left. Nothing of a certified round is lost: the frontends of a quorum
// have cosigned it, and hold it. If the log does not reach that far, all of it goes. Then the
// member has forgotten what it cosigned, and must take part in no election until it has that
// again.
type Return struct {
	Index  uint64 `json:"index"` // of the seal of that round; 0 if nothing was kept
	Reason string `json:"reason"`
	// Pending is set from GoBack until the next start has taken all steps.
	Pending bool `json:"pending,omitzero"`
	// Settled is set when the member has everything again that the group committed.
	Settled bool        `json:"settled,omitzero"`
	Times   []time.Time `json:"times"` // of all returns within returnsWithin, with this one
}

// Forgetful reports whether the member may not take part in elections.
func (r Return) Forgetful() bool { return len(r.Times) > 0 && !r.Settled && r.Index == 0 }

// Left reports whether the member has left an entry on purpose, and is not past that yet.
func (r Return) Left(index uint64) bool { return len(r.Times) > 0 && !r.Settled && index > r.Index }

// Lately reports whether the member has gone back not long before now. One that is about to has
// not: what it finds until it ends is in the history that it leaves.
func (r Return) Lately(now time.Time) bool {
	gone := r.Times
	if r.Pending && len(gone) > 0 {
		gone = gone[:len(gone)-1]
	}
	return len(gone) > 0 && now.Sub(gone[len(gone)-1]).Abs() < returnsWithin
}

// GoBackError is the error of a member that leaves its history. It goes back when it is
// started again.
type GoBackError struct {
	Dir    string
	Index  uint64 // of the last entry that is kept; 0 for none
	Reason string
}

func (e *GoBackError) Error() string {
	keeps := fmt.Sprintf("goes back to entry %d of its log", e.Index)
	if e.Index == 0 {
		keeps = "takes everything from the others"
	}
	return fmt.Sprintf("%s; started again, this frontend %s (%s)", e.Reason, keeps, e.Dir)
}

// GoBack notes that the member leaves its history after the entry at index, or all of it if
// index is 0. It returns the error with which the member ends: a *GoBackError, or a
// *ContradictionError if it has gone back too often or cannot go back. proven tells that
// others have the history which this member is to have. Then it can do without its own, and
// keeps nothing of it the second time: what is kept may be what is wrong.
//
// The directory is not marked: once the corrupt frontend is shut out, another start may
// succeed.
func (s *Store) GoBack(index uint64, reason string, proven bool) error {
	s.returning.Lock()
	defer s.returning.Unlock()
	now := time.Now().UTC()
	before, err := loadReturn(s.dir)
	if err != nil {
		return err
	}
	if before.Pending {
		return before.ending(s.dir)
	}
	next := Return{Index: index, Reason: reason, Pending: true}
	for _, at := range before.Times {
		if now.Sub(at).Abs() < returnsWithin {
			next.Times = append(next.Times, at)
		}
	}
	if fits, err := s.reaches(index); err != nil {
		return openFailure(s.dir, err)
	} else if !proven && (!fits || index == 0) {
		return &ContradictionError{Dir: s.dir, Undecided: true,
			Err: fmt.Errorf("%s, and the log does not reach back to a certified round", reason)}
	}
	if proven && len(next.Times) > 0 {
		next.Index = 0
	}
	next.Times = append(next.Times, now)
	if err := next.write(s.dir); err != nil {
		return &StorageError{s.dir, err}
	}
	s.returned.Store(&next)
	return next.ending(s.dir)
}

// ending returns the error with which a member ends that is to go back like this.
func (r Return) ending(dir string) error {
	if n := len(r.Times) - 1; n >= maxReturns {
		return &ContradictionError{Dir: dir, Undecided: true,
			Err: fmt.Errorf("%s, and to go back has not helped, %d times within an hour", r.Reason, n)}
	}
	return &GoBackError{dir, r.Index, r.Reason}
}

// Return returns how the member has gone back.
func (s *Store) Return() Return {
	if r := s.returned.Load(); r != nil {
		return *r
	}
	return Return{}
}

// SettleReturn notes that the member has everything again, unless it leaves its history anew.
func (s *Store) SettleReturn() error {
	s.returning.Lock()
	defer s.returning.Unlock()
	r := s.Return()
	if len(r.Times) == 0 || r.Settled || r.Pending {
		return nil
	}
	r.Settled = true
	if err := r.write(s.dir); err != nil {
		return err
	}
	s.returned.Store(&r)
	return nil
}

func (r Return) write(dir string) error {
	b, err := json.Marshal(r)
	if err == nil {
		err = pki.WritePrivateFile(filepath.Join(dir, gobackFile), b)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", gobackFile, err)
	}
	return nil
}

func loadReturn(dir string) (r Return, err error) {
	path := filepath.Join(dir, gobackFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil && json.Unmarshal(b, &r) != nil {
		return r, contradiction(dir, "%s is damaged", path)
	}
	return r, err
}

// LeavesHistory reports whether the member of a data directory is about to go back.
func LeavesHistory(dir string) (bool, error) {
	r, err := loadReturn(dir)
	return r.Pending, err
}

// goBack takes the steps of a way back but the last, which is OpenMachine's: there the state
// is discarded. All of them are taken again if this process ends before.
func (s *Store) goBack() error {
	r, err := loadReturn(s.dir)
	if err != nil {
		return err
	}
	s.returned.Store(&r)
	if !r.Pending {
		return nil
	}
	if fits, err := s.reaches(r.Index); err != nil {
		return openFailure(s.dir, err)
	} else if !fits {
		r.Index = 0
		s.returned.Store(&r)
	}
	s.logger.Warn("this frontend goes back", "index", r.Index, "reason", r.Reason)
	// It was in the group by an entry that it may have no more.
	if joined := min(s.JoinedAt(), r.Index); joined != s.JoinedAt() {
		s.identity.JoinedAt = joined
		if err := s.identity.write(s.dir); err != nil {
			return err
		}
		s.joinedAt.Store(joined)
	}
	if err := s.Snapshots.RemoveAfter(r.Index); err != nil {
		return openFailure(s.dir, err)
	}
	first, last, err := bounds(s.backend)
	if err == nil && last > r.Index {
		err = s.backend.DeleteRange(max(first, r.Index+1), last)
	}
	if err != nil {
		return openFailure(s.dir, fmt.Errorf("shorten the log: %w", err))
	}
	return nil
}

// reaches reports whether the log and a snapshot that it continues after have all entries up
// to index.
func (s *Store) reaches(index uint64) (bool, error) {
	kept, err := s.Snapshots.Before(index)
	if err != nil {
		return false, err
	}
	first, last, err := bounds(s.backend)
	return max(kept, last) >= index && (first == 0 || first <= kept+1), err
}

// keeps returns the entry after which the log is kept, because the member may have to go
// back; needed is false if there is none.
func (s *Store) keeps() (after uint64, needed bool, err error) {
	index := s.cosigned()
	if index == 0 {
		return 0, false, nil
	}
	after, err = s.Snapshots.Before(index)
	return after, err == nil, err
}

// Short reports whether the member could not go back to the last round that it has cosigned,
// and would have to take everything from the others.
func (s *Store) Short() bool {
	index := s.cosigned()
	if index == 0 {
		return false
	}
	reaches, err := s.reaches(index)
	return err == nil && !reaches
}

// discardState discards the state of a member that goes back, and ends the way back.
func (s *Store) discardState(m *fsm.Machine) error {
	r := s.Return()
	if !r.Pending {
		return nil
	}
	if err := m.Discard("this frontend goes back"); err != nil {
		return err
	}
	r.Pending = false
	if err := r.write(s.dir); err != nil {
		return openFailure(s.dir, err)
	}
	s.returned.Store(&r)
	return nil
}
