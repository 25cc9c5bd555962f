package fsm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/fsm/rounds"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
	"laurel/witness"
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

// roundsHistory returns a machine of a sworn group with a bard, and a function that applies an
// event of the bard.
func roundsHistory(t *testing.T) (m *Machine, post func(text string, args ...any)) {
	m = newSwornMachine(t)
	mustSigned(t, m, signedBy(t, 50, 1, access.Change{Grant: keyGrant(1, "bard/cacofonix")}))
	seq := 0
	return m, func(text string, args ...any) {
		t.Helper()
		seq++
		e := decodeEvent(t, `{"id":"e%d","source":"bard/cacofonix","seq":%d,"time":"2026-02-09T10:00:00Z",%s}`,
			seq, seq, fmt.Sprintf(text, args...))
		e.Key = keyGrant(1, "").ID
		events := []score.Event{e}
		if err := signing.Sign(testKey(1), swornLineage, events); err != nil {
			t.Fatal(err)
		}
		if r := applyPosts(t, m, score.Post{Events: events})[0][0]; r.Problem != nil {
			t.Fatal(r.Problem)
		}
	}
}

const (
	defineOfMatch = `"type":"contest.define","contest_id":"G/1","data":{"kind":"head_to_head","sport":"menhir",` +
		`"competitors":[{"code":"GAU","organisation":"GAU"},{"code":"ROM","organisation":"ROM"}]}`
	startOfMatch = `"type":"contest.status","contest_id":"G/1","data":{"schedule_status":"RUNNING"}`
	playOfMatch  = `"type":"score.play","contest_id":"G/1","data":{"competitor":"GAU","delta":1}`
)

func TestASealDoesNothingInAPlainStoreOrWithAWrongNumber(t *testing.T) {
	plain := newMachine(t)
	mustApply(t, plain, alert, 1, 1, "one")
	before := stateOf(t, plain)
	wantCode(t, "a seal of a plain store", sealNow(t, plain, 1), score.StatusConflict)
	if changed, next := plain.Rounds().Unsealed(); changed != 0 || next != 0 || len(plain.Rounds().Sealed(0)) > 0 {
		t.Errorf("a plain store has %d changed answers, and the next round is %d", changed, next)
	}
	if stateOf(t, plain) != before {
		t.Error("the seal has changed a plain store")
	}
	m := newSwornMachine(t)
	before = stateOf(t, m)
	wantCode(t, "round 0", applySeal(t, m, []byte{3, 4<<3 | 2, 0}), score.InvalidEvent)
	wantCode(t, "round 2", sealNow(t, m, 2), score.StatusConflict)
	if stateOf(t, m) != before {
		t.Error("a wrong seal has changed the store")
	}
	mustSeal(t, m)
	before = stateOf(t, m)
	wantCode(t, "round 1 again", sealNow(t, m, 1), score.StatusConflict)
	if stateOf(t, m) != before || len(m.Rounds().Heads(0)) != 1 {
		t.Error("a second seal of the round has changed the store")
	}
}

func TestABodyIsWhatWasSealed(t *testing.T) {
	m, post := roundsHistory(t)
	post(defineOfMatch)
	post(startOfMatch)
	sealed := []*rounds.Sealed{mustSeal(t, m)}
	want := [][]byte{mustAnswer(t, m, "scores/G/1")}
	medals := mustAnswer(t, m, "medals/G")
	for range 3 {
		post(playOfMatch)
		if body, known := sealed[len(sealed)-1].Body("scores/G/1"); !known || !bytes.Equal(body, want[len(want)-1]) {
			t.Errorf("after a change the last round has %s", body)
		}
		sealed, want = append(sealed, mustSeal(t, m)), append(want, mustAnswer(t, m, "scores/G/1"))
	}
	check := func() {
		t.Helper()
		for i, s := range sealed {
			for key, want := range map[string][]byte{"scores/G/1": want[i], "medals/G": medals} {
				body, known := s.Body(key)
				leaves := s.Answers.Prove(key)
				if !known || !bytes.Equal(body, want) || len(leaves) != 1 || leaves[0].Body != sha256.Sum256(want) {
					t.Errorf("round %d has %s: %s, want %s", i+1, key, body, want)
				}
			}
		}
	}
	check()
	m.Rounds().Certified(4)
	for range 10 {
		post(playOfMatch)
		mustSeal(t, m)
	}
	check()
	if _, known := sealed[0].Body("scores/G/none"); known {
		t.Error("a round has the body of a contest that never was")
	}
}

func mustAnswer(t *testing.T, m *Machine, key string) []byte {
	t.Helper()
	body, err := m.Answer(key)
	if err != nil || body == nil {
		t.Fatalf("no answer to %s: %v", key, err)
	}
	return body
}

func TestAnAnswerThatIsGoneIsAbsent(t *testing.T) {
	m, post := roundsHistory(t)
	post(defineOfMatch)
	with := mustSeal(t, m)
	post(`"type":"event.void","contest_id":"G/1","data":{"voids":"e1","reason":"it is not"}`)
	without := mustSeal(t, m)
	if body, known := without.Body("scores/G/1"); !known || body != nil || without.Round.Answers != with.Round.Answers-1 {
		t.Errorf("the contest that is gone is %s, of %d answers", body, without.Round.Answers)
	}
	if body, err := m.Answer("scores/G/1"); body != nil || err != nil {
		t.Errorf("the present answer is %s, %v", body, err)
	}
	if body, known := with.Body("scores/G/1"); !known || body == nil {
		t.Error("the round before has it no more")
	}
	for _, leaf := range without.Answers.Prove("scores/G/1") {
		if leaf.Key == "scores/G/1" {
			t.Error("the tree has a leaf of it")
		}
	}
}

func TestAReaderVerifiesTheAnswersOfARound(t *testing.T) {
	m, post := roundsHistory(t)
	post(defineOfMatch)
	now := accessDay
	key, err := witness.NewKey("f1", testKey(61))
	if err != nil {
		t.Fatal(err)
	}
	policy := &witness.Policy{Store: swornLineage, Version: 1, Until: now.AddDate(1, 0, 0),
		Quorum: witness.LeastQuorum(1), Frontends: []witness.Frontend{key.Frontend()}}
	node, err := witness.NewNode(key, policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	reader := &witness.Reader{Policy: policy}
	for range 5 {
		post(`"type":"alert","contest_id":"G","data":{"text":"rain"}`)
		s := mustSeal(t, m)
		node.Sealed(s.Head, now, now)
		if c := node.Certificate(); c.Head != s.Head {
			t.Fatalf("the round %d is not certified: %+v", s.Round.Number, c)
		}
		for _, key := range []string{"scores/G/1", "medals/G", "bards/bard/cacofonix", "keys", "roster", "scores/G/2", "a", "z"} {
			body, err := m.Answer(key)
			if err != nil {
				t.Fatal(err)
			}
			proof := &witness.Proof{Round: s.Round, Path: s.Path, Note: node.Certificate().Note, Leaves: s.Answers.Prove(key)}
			round, _, err := reader.Verify(key, body, proof.String(), now)
			if err != nil || *round != s.Round {
				t.Errorf("the answer to %s, %s, is not verified: %v", key, body, err)
			}
			if _, _, err := reader.Verify(key, []byte("{}\n"), proof.String(), now); err == nil {
				t.Errorf("another answer to %s is verified", key)
			}
		}
	}
}

func TestRoundsSurviveRestartsAndSnapshots(t *testing.T) {
	dir := t.TempDir()
	m := openMachine(t, dir)
	mustSigned(t, m, founding())
	const n = 1100
	for range n {
		mustSeal(t, m)
	}
	heads, last := m.Rounds().Heads(n-1023), m.Rounds().Sealed(n)[0]
	if in := m.Rounds().Sealed(0); len(heads) != 1024 || len(in) > 10 || in[len(in)-1] != last {
		t.Errorf("%d heads and %d rounds are in memory", len(heads), len(in))
	}
	mustChange(t, m, setting(access.SettingLineage, swornLineage))
	snapshot := snapshotOf(t, m)
	restored := newMachine(t)
	if err := restored.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openMachine(t, dir)
	defer m.Close()
	for what, m := range map[string]*Machine{"after a restart": m, "of a snapshot": restored} {
		r := m.Rounds()
		if list := r.Sealed(0); len(list) != 1 || list[0].Round != last.Round || list[0].Head != last.Head ||
			!slices.Equal(list[0].Path, last.Path) || list[0].Answers.Root() != last.Answers.Root() {
			t.Errorf("%s the last round is %+v", what, list)
		}
		if got := r.Heads(0); !slices.Equal(got, heads) {
			t.Errorf("%s there are %d heads", what, len(got))
		}
		if changed, next := r.Unsealed(); changed != 2 || next != n+1 {
			t.Errorf("%s %d answers have changed, and the next round is %d", what, changed, next)
		}
		if body := mustAnswer(t, m, "roster"); !bytes.Contains(body, []byte(swornLineage)) {
			t.Errorf("%s the roster is %s", what, body)
		}
	}
	if a, b := mustSeal(t, m), mustSeal(t, restored); a.Head != b.Head {
		t.Errorf("the next rounds are\n%s%s", a.Round, b.Round)
	}
	if err := m.Discard("test"); err != nil {
		t.Fatal(err)
	}
	if changed, next := m.Rounds().Unsealed(); changed != 0 || next != 0 || len(m.Rounds().Heads(0)) > 0 {
		t.Error("a state that was discarded has rounds")
	}
}

// A certified round stays, however many follow it, until another one is.
func TestTheCertifiedRoundStaysInMemory(t *testing.T) {
	m := newSwornMachine(t)
	numbers := func() (list []uint64) {
		for _, s := range m.Rounds().Sealed(0) {
			list = append(list, s.Round.Number)
		}
		return list
	}
	for range 3 {
		mustSeal(t, m)
	}
	m.Rounds().Certified(2)
	if got := numbers(); !slices.Equal(got, []uint64{2, 3}) {
		t.Errorf("the rounds in memory are %d", got)
	}
	for range 20 {
		mustSeal(t, m)
	}
	if got := numbers(); !slices.Equal(got, []uint64{2, 17, 18, 19, 20, 21, 22, 23}) {
		t.Errorf("the rounds in memory are %d", got)
	}
	m.Rounds().Certified(23)
	m.Rounds().Certified(5) // late
	if got := numbers(); !slices.Equal(got, []uint64{23}) {
		t.Errorf("the rounds in memory are %d", got)
	}
}

func TestWhoWaitsForRoundsIsWoken(t *testing.T) {
	m, post := roundsHistory(t)
	wake := m.Rounds().Wake()
	woken := func() bool {
		select {
		case <-wake:
			return true
		default:
			return false
		}
	}
	post(defineOfMatch)
	if !woken() {
		t.Error("nobody is told of a change")
	}
	post(startOfMatch)
	if woken() {
		t.Error("a change of what has changed already wakes")
	}
	mustSeal(t, m)
	if !woken() {
		t.Error("nobody is told of a round")
	}
	mustSeal(t, m)
	if !woken() {
		t.Error("nobody is told of a round without changes")
	}
	if err := m.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
		t.Fatal(err)
	}
	if !woken() {
		t.Error("nobody is told of a snapshot")
	}
}

func TestDamagedRoundsAreNotLoaded(t *testing.T) {
	m := newSwornMachine(t)
	for range 3 {
		mustSeal(t, m)
	}
	snapshot := snapshotOf(t, m)
	number := func(n byte) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, n} }
	for what, damage := range map[string]func(tx *bolt.Tx) error{
		"a round that is missing": func(tx *bolt.Tx) error { return tx.Bucket(database.Rounds).Delete(number(2)) },
		"no rounds": func(tx *bolt.Tx) error {
			for n := range byte(4) {
				if err := tx.Bucket(database.Rounds).Delete(number(n)); err != nil {
					return err
				}
			}
			return nil
		},
		"a round that is another": func(tx *bolt.Tx) error {
			record, err := database.Get(tx.Bucket(database.Rounds), number(1))
			if err != nil {
				return err
			}
			return tx.Bucket(database.Rounds).Put(number(3), database.Seal(number(3), bytes.Clone(record)))
		},
		"another hash": func(tx *bolt.Tx) error {
			key := []byte("roster")
			return tx.Bucket(database.Answers).Put(key, database.Seal(key, make([]byte, 32)))
		},
		"half a hash": func(tx *bolt.Tx) error {
			key := []byte("roster")
			return tx.Bucket(database.Answers).Put(key, database.Seal(key, make([]byte, 16)))
		},
		"a key without a checksum": func(tx *bolt.Tx) error {
			return tx.Bucket(database.Changed).Put([]byte("roster"), nil)
		},
	} {
		other := newMachine(t)
		if err := other.Restore(bytes.NewReader(snapshot)); err != nil {
			t.Fatal(err)
		}
		if err := other.db.Update(damage); err != nil {
			t.Fatal(err)
		}
		if _, err := loadHead(other.db); !errors.Is(err, database.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// wrongAnswers returns the keys of the newest round that have another answer now.
func wrongAnswers(t *testing.T, m *Machine) (wrong []string) {
	t.Helper()
	for i := uint64(0); ; i++ {
		answers, key, err := m.CheckAnswer(i)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			wrong = append(wrong, key)
		}
		if i >= answers {
			return wrong
		}
	}
}

func TestARecordThatHasChangedByItselfIsFound(t *testing.T) {
	m, post := roundsHistory(t)
	post(defineOfMatch)
	post(startOfMatch)
	mustSeal(t, m)
	if wrong := wrongAnswers(t, m); wrong != nil {
		t.Errorf("%q are wrong in a good state", wrong)
	}
	post(playOfMatch)
	if wrong := wrongAnswers(t, m); wrong != nil {
		t.Errorf("%q are wrong after an event that is not sealed", wrong)
	}
	mustSeal(t, m)
	flip := func(onDisk bool) {
		m.applying.Lock()
		defer m.applying.Unlock()
		b, err := m.openBatch()
		if err != nil {
			t.Fatal(err)
		}
		c := b.contest("G/1")
		c.Period += "x"
		if onDisk { // with the checksum of the record
			b.tx.PutJSON(database.Contests, []byte("G/1"), c)
			clear(m.cache.contests)
		}
	}
	for _, onDisk := range []bool{false, true} {
		flip(onDisk)
		if wrong := wrongAnswers(t, m); !slices.Equal(wrong, []string{"scores/G/1"}) {
			t.Errorf("on the disk %t: %q are wrong", onDisk, wrong)
		}
	}
	plain := openMachine(t, t.TempDir())
	if answers, wrong, err := plain.CheckAnswer(0); answers != 0 || wrong != "" || err != nil {
		t.Errorf("a store without rounds: %d answers, %q, %v", answers, wrong, err)
	}
}
