package sworn

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/operator"
)

func testKey(seed string) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(seed, ed25519.SeedSize))).Public().(ed25519.PublicKey)
}

// swornState returns the state of a group that getafix has founded, after changes that he and
// obelix have signed.
func swornState(getafix, obelix uint64) *access.State {
	s := access.NewState()
	s.Settings.Sworn, s.Settings.Lineage, s.Settings.Incarnation = true, "l1", "i1"
	first, second := testKey("g"), testKey("o")
	s.Founder = operator.Fingerprint(first)
	s.Operators = map[string]*access.Operator{
		score.KeyID(first):  {Name: "getafix", Public: first, Number: getafix},
		score.KeyID(second): {Name: "obelix", Public: second, Number: obelix},
	}
	s.Roster = map[string]*access.RosterEntry{"f1": {Name: "f1", Key: testKey("f")}}
	return s
}

// learn runs a Knowledge until it has looked at a state after so many events. It returns why the
// member was ended, or nil.
func learn(t *testing.T, dir, founder string, s *access.State, events uint64) (k *Knowledge, ended error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		k, err = Open(Config{
			Dir: dir, ID: "f1", Founder: founder, Every: time.Second, Logger: slog.New(slog.DiscardHandler),
			Witness: ed25519.NewKeyFromSeed([]byte(strings.Repeat("f", ed25519.SeedSize))),
			Access:  func() *access.State { return s }, Revision: func() uint64 { return events },
			End: func(err error) { ended = err },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go k.Run(ctx)
		synctest.Wait()
		cancel()
	})
	return k, ended
}

// A corrupt master need not say that its group is not sworn: it can leave out everything that would.
func TestAFrontendBelievesNothingOfAGroupThatIsNotTheOneOfItsFounder(t *testing.T) {
	founder := operator.Fingerprint(testKey("g"))
	open, guarded, other := access.NewState(), access.NewState(), swornState(1, 0)
	guarded.Guarded = true
	other.Founder, other.Settings.Incarnation = operator.Fingerprint(testKey("o")), ""
	for what, c := range map[string]struct {
		s      *access.State
		events uint64
		ends   bool
	}{
		"nothing applied": {open, 0, false},
		"its own group":   {swornState(1, 0), 5, false},
		"an event before any entry made it sworn": {open, 1, true},
		"a change before any entry made it sworn": {guarded, 0, true},
		"another founder, without an incarnation": {other, 0, true},
	} {
		_, ended := learn(t, t.TempDir(), founder, c.s, c.events)
		if _, ok := errors.AsType[*FounderError](ended); ok != c.ends {
			t.Errorf("%s: ended with %v", what, ended)
		}
		// The same holds for one that has no token any more, but remembers its group.
		dir := t.TempDir()
		learn(t, dir, "", swornState(1, 0), 5)
		_, ended = learn(t, dir, "", c.s, c.events)
		if _, ok := errors.AsType[*FounderError](ended); ok != c.ends {
			t.Errorf("%s, remembered: ended with %v", what, ended)
		}
	}
	if _, ended := learn(t, t.TempDir(), "", guarded, 1); ended != nil {
		t.Errorf("a member of a group that is not sworn has ended: %v", ended)
	}
}

func TestNoNumberOfAnOperatorKeepsAnOldRoster(t *testing.T) {
	dir := t.TempDir()
	learn(t, dir, "", swornState(10, 10), 5)
	dropped := swornState(11, math.MaxUint64)
	dropped.Roster = map[string]*access.RosterEntry{"f2": {Name: "f2", Key: testKey("2")}}
	k, _ := learn(t, dir, "", dropped, 5)
	if k.State().KeyOf("f1") != nil {
		t.Error("a frontend that was dropped is still in the roster")
	}
	k, _ = learn(t, dir, "", access.NewState(), 0) // it is being rebuilt
	if k.State().KeyOf("f1") != nil || k.State().KeyOf("f2") == nil {
		t.Error("the new roster is not on the disk")
	}
}
