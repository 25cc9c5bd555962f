package fsm

import (
	"crypto/sha256"
	"strings"

	"laurel/cache/queries"
	"laurel/fsm/entry"
	"laurel/fsm/rounds"
	"laurel/score"
	"laurel/trust/access"
	"laurel/witness"
)

// Rounds returns the rounds that seals of the log have made. A group that is not sworn has
// none.
func (m *Machine) Rounds() *rounds.Log { return &m.rounds }

// Answer returns the present body of the answer to a key of rounds; nil if there is none.
// However many ask, applying waits for one of them at most.
func (m *Machine) Answer(key string) ([]byte, error) {
	m.asking.Lock()
	defer m.asking.Unlock()
	m.applying.Lock()
	defer m.applying.Unlock()
	if m.failed != nil {
		return nil, m.failed
	}
	b, err := m.openBatch() // which has what was applied last in memory
	if err != nil {
		return nil, m.fail(err)
	}
	body := b.answer(key)
	return body, b.tx.Err()
}

// CheckAnswer compares the present answer to a key of the newest round, in the order of keys
// from 0, with that round, and returns how many answers there are. wrong is that key if it
// has another answer although nothing has changed it. While the newest round has another
// format than the answers that this version makes, none is wrong.
func (m *Machine) CheckAnswer(i uint64) (answers uint64, wrong string, err error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	if m.failed != nil {
		return 0, "", m.failed
	}
	key, sealed, answers, changed := m.rounds.At(i)
	if changed || m.rounds.Format() != entry.AnswersFormat {
		return answers, "", nil
	}
	b, err := m.openBatch()
	if err != nil {
		return answers, "", m.fail(err)
	}
	body := b.answer(key)
	if err := b.tx.Err(); err != nil {
		return answers, "", err
	}
	if witness.Hash(sha256.Sum256(body)) != sealed {
		return answers, key, nil
	}
	return answers, "", nil
}

// Outdated reports whether the newest round has an older format than the answers that this
// version makes. A seal by this version makes the next one of all answers anew.
func (m *Machine) Outdated() bool {
	format := m.rounds.Format()
	return format > 0 && format < entry.AnswersFormat
}

// answerChanged notes that an answer that rounds have may have changed.
func (b *batch) answerChanged(kind, name string) {
	if b.access.Settings.Sworn {
		b.m.rounds.Change(b.tx, kind, name)
	}
}

// seal makes the round with a number. Two masters may have sealed the same one: then the
// second seal does nothing.
func (b *batch) seal(command *entry.Command, index uint64) score.Result {
	number := command.Seal
	switch next := b.m.rounds.Next(); {
	case !b.access.Settings.Sworn:
		return score.Result{Problem: score.Problemf(score.StatusConflict,
			"the group is not sworn, so it has no rounds")}
	case number != next:
		return score.Result{Problem: score.Problemf(score.StatusConflict, "the next round is %d, not %d", next, number)}
	}
	round := witness.Round{Number: number, Index: index, Revision: b.Revision, History: b.digest}
	b.tx.Fail(b.m.rounds.Seal(b.tx, round, command.Answers, b.answer))
	return score.Result{Status: score.Applied}
}

// answer returns the body that GET gives for a key of rounds, or nil if that is not found.
// TestRoundsHaveTheBodiesOfGET of httpapi compares them. See entry.AnswersFormat before you
// change any: now there is one format.
func (b *batch) answer(key string) []byte {
	var value any
	kind, name, _ := strings.Cut(key, "/")
	switch kind + key[len(kind):len(key)-len(name)] {
	case rounds.Scores:
		if c := b.contest(name); c != nil {
			value = c.Record()
		}
	case rounds.Medals:
		if t := b.readTable(name); t.Revision > 0 {
			value = t.Standings()
		}
	case rounds.Bards:
		if s := b.identities.Source(name); s.LastSeq > 0 {
			value = s.Bard
		}
	case rounds.Keys:
		value = access.KeyPage{Keys: b.access.Keys()}
	case rounds.Roster:
		value = b.access.RosterView()
	}
	if value == nil {
		return nil
	}
	body, err := queries.Encode(value)
	b.tx.Fail(err)
	return body
}
