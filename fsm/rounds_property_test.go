package fsm

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"laurel/cache/queries"
	"laurel/fsm/entry"
	"laurel/fsm/rounds"
	"laurel/fsm/view"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
	"laurel/witness"
)

// Whatever is posted, refused, undone, voided, granted, crashed, restored and replayed, in
// transactions of any size: each round has all answers as they were at its seal, and every
// copy of the log makes the same rounds.
func TestRoundsFollowFromTheLogAlone(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		h := newSwornHistory(rt, root)
		defer func() { h.end() }()
		then := func(f func(*rapid.T)) func(*rapid.T) {
			return func(rt *rapid.T) {
				before, _ := h.m.Rounds().Unsealed()
				f(rt)
				if after, _ := h.m.Rounds().Unsealed(); after != before {
					rt.Fatalf("%d answers have changed, and before it was %d", after, before)
				}
				h.wantRounds(rt)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"post 1":  h.post,
			"post 2":  h.post,
			"post 3":  h.post,
			"seal 1":  h.seal,
			"seal 2":  h.seal,
			"change":  h.change,
			"look":    then(h.check),
			"restart": then(h.restart),
			"kill":    then(h.kill),
			"die":     then(h.die),
			"restore": then(h.restore),
			"rebuild": then(h.rebuild),
			"replay":  then(h.replay),
		})
		h.seal(rt)
		h.wantRounds(rt)
	})
}

// swornHistory is a randomHistory of a sworn group, with the rounds that it should have.
type swornHistory struct {
	*randomHistory
	changes uint64 // that the operator has signed
	heads   []witness.Head
	last    witness.Round
}

// swornSources are the sources that may post, each with the key of its place and 1.
var swornSources = []string{"s1", "s2"}

func newSwornHistory(t *rapid.T, root string) *swornHistory {
	h := &swornHistory{randomHistory: &randomHistory{root: root}}
	h.dir = h.newDir(t)
	h.m = openMachine(t, h.dir)
	h.add(t, encodeSigned(t, founding()))
	h.add(t, encodeChange(t, setting(access.SettingLineage, swornLineage)))
	for i, source := range swornSources {
		h.sign(t, access.Change{Grant: keyGrant(byte(i)+1, source)})
	}
	for _, id := range []string{"G/m1", "G/r1"} {
		h.commit(t, h.signed(t, score.Post{Events: []score.Event{
			h.envelope(t, "s1", "", drawDefine(t, id, "A", "B", "C", "D")),
		}}))
	}
	return h
}

func encodeSigned(t tester, c *access.SignedChange) []byte {
	t.Helper()
	data, err := entry.EncodeSigned(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// add applies a new entry that holds no posts.
func (h *swornHistory) add(t tester, data []byte) *score.Problem {
	t.Helper()
	index := h.m.Applied() + 1
	h.log = append(h.log, Entry{index, data})
	outcome, err := h.m.Apply(h.log[len(h.log)-1:], index)
	if err != nil {
		t.Fatal(err)
	}
	return outcome[0][0][0].Problem
}

// sign applies a change that the operator has signed.
func (h *swornHistory) sign(t tester, c access.Change) {
	h.changes++
	if p := h.add(t, encodeSigned(t, signedBy(t, 50, h.changes, c))); p != nil {
		t.Fatal(p)
	}
}

// signed returns a post whose events are signed by their sources.
func (h *swornHistory) signed(t tester, p score.Post) score.Post {
	for i := range p.Events {
		e := &p.Events[i]
		e.IDGiven, e.TimeGiven = true, true
		if e.Time.IsZero() {
			e.Time = accessDay
		}
		n := byte(slices.Index(swornSources, e.Source)) + 1
		e.Key = keyGrant(n, "").ID
		if err := signing.Sign(testKey(n), swornLineage, p.Events[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (h *swornHistory) post(t *rapid.T) {
	posts := h.posts(t)
	for i := range posts {
		for j := range posts[i].Events {
			if e := &posts[i].Events[j]; e.Seq == 0 { // each signed event has one
				e.Seq = uint64(rapid.IntRange(1, len(h.plain.of(e.Source))+1).Draw(t, "seq"))
			}
		}
		posts[i] = h.signed(t, posts[i])
	}
	h.commit(t, posts...)
}

// change changes the roster, or the keys of bards.
func (h *swornHistory) change(t *rapid.T) {
	n := byte(rapid.IntRange(70, 75).Draw(t, "key"))
	if rapid.Bool().Draw(t, "roster") {
		frontend := &access.RosterEntry{Name: fmt.Sprint("f", n), Key: publicOf(n)}
		h.sign(t, access.Change{Sworn: &access.SwornChange{Frontend: frontend}})
		return
	}
	h.add(t, encodeChange(t, access.Change{By: "f1", Note: fmt.Sprint("note ", len(h.log))}))
}

// seal seals the next round, or perhaps another one. The round must have all present
// answers.
func (h *swornHistory) seal(t *rapid.T) {
	next := uint64(len(h.heads)) + 1
	number := rapid.SampledFrom([]uint64{next, next, next, next + 1, max(next-1, 1)}).Draw(t, "round")
	before := h.m.State()
	if p := h.add(t, entry.EncodeSeal(number)); (p == nil) != (number == next) {
		t.Fatalf("the seal of round %d, of which the next is %d: %v", number, next, p)
	}
	if number != next {
		return
	}
	list := h.m.Rounds().Sealed(next)
	if len(list) != 1 {
		t.Fatalf("the rounds from %d on are %v", next, list)
	}
	h.heads, h.last = append(h.heads, list[0].Head), list[0].Round
	if rapid.Bool().Draw(t, "look") { // which commits the open transaction
		h.wantAnswers(t, list[0], before)
	}
}

// wantAnswers checks that the last round has all present answers. before is the state at
// the entry before its seal.
func (h *swornHistory) wantAnswers(t *rapid.T, s *rounds.Sealed, before State) {
	next, bodies := uint64(len(h.heads)), answersOf(t, h.m)
	if changed, now := h.m.Rounds().Unsealed(); changed != 0 || now != next+1 {
		t.Fatalf("after the seal of %d there are %d changes, and the next is %d", next, changed, now)
	}
	hashes := map[string]witness.Hash{}
	for key, body := range bodies {
		hashes[key] = sha256.Sum256(body)
		if present, err := h.m.Answer(key); err != nil || string(present) != string(body) {
			t.Fatalf("the answer to %s is %s, want %s", key, present, body)
		}
		if kept, known := s.Body(key); known && string(kept) != string(body) {
			t.Fatalf("the round has %s: %s, want %s", key, kept, body)
		}
	}
	answers := new(witness.Answers).With(hashes)
	want := witness.Round{Number: next, Index: before.Applied + 1, Revision: before.Revision, History: before.Digest,
		Answers: answers.Size(), AnswersRoot: answers.Root()}
	if s.Round != want {
		t.Fatalf("the round is\n%s, want\n%s\nof %q", s.Round, want, slices.Sorted(maps.Keys(bodies)))
	}
}

// wantRounds checks that the machine has the rounds that were sealed.
func (h *swornHistory) wantRounds(t *rapid.T) {
	if got := h.m.Rounds().Heads(0); !slices.Equal(got, h.heads) {
		t.Fatalf("the heads are %v, want %v", got, h.heads)
	}
	n := len(h.heads)
	if n == 0 {
		return
	}
	list := h.m.Rounds().Sealed(uint64(n))
	if len(list) != 1 || list[0].Round != h.last || list[0].Head != h.heads[n-1] ||
		list[0].Answers.Root() != h.last.AnswersRoot {
		t.Fatalf("the last round is %v, want %v", list, h.last)
	}
}

// answersOf returns the bodies that GET gives for all keys that a round has.
func answersOf(t tester, m *Machine) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	add := func(key string, value any) {
		body, err := queries.Encode(value)
		if err != nil {
			t.Fatal(err)
		}
		all[key] = body
	}
	err := m.View(func(v *view.View) error {
		contests, tables, err := v.Keys("")
		if err != nil {
			return err
		}
		for _, id := range contests {
			record, _, err := v.Contest(id)
			if err != nil {
				return err
			}
			add("scores/"+id, record)
		}
		for _, competition := range tables {
			table, _, err := v.Medals(competition)
			if err != nil {
				return err
			}
			add("medals/"+competition, table.Standings())
		}
		for _, source := range swornSources {
			if bard, ok, err := v.Bard(source); err != nil {
				return err
			} else if ok {
				add("bards/"+source, bard)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	add("keys", access.KeyPage{Keys: m.Access().Keys()})
	add("roster", m.Access().RosterView())
	return all
}
