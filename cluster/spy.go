//go:build spy

package cluster

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"sync/atomic"
	"time"

	"laurel/cluster/batch"
	"laurel/cluster/certify"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/score/mark"
	"laurel/trust/access"
)

// Lie is what a spy makes a frontend do.
type Lie struct {
	Lie        string `json:"lie"`
	ContestID  string `json:"contest_id,omitzero"`
	Competitor string `json:"competitor,omitzero"`
	Points     int64  `json:"points,omitzero"`
	Member     string `json:"member,omitzero"` // to whom it lies
	Event      string `json:"event,omitzero"`  // id of the event that it lies about
	Source     string `json:"source,omitzero"` // of the event that it forges
}

// Spy has a member lie. Its methods may be called by any goroutine.
type Spy struct {
	member *Member
	notes  *certify.Spy
	drops  atomic.Bool
	alters atomic.Pointer[Lie]
}

// Enter puts a spy into a member that has just started. It replaces functions of the member
// that have not been called yet.
func Enter(m *Member) *Spy {
	s := &Spy{member: m}
	if m.certifier != nil {
		s.notes = certify.NewSpy(m.certifier)
	}
	m.batcher.Instead(s.post)
	m.transport.Alter(s.alter)
	return s
}

// Tell has the member tell a lie from now on. The lie "" ends those that go on.
func (s *Spy) Tell(l Lie) error {
	m := s.member
	switch l.Lie {
	case "":
		s.drops.Store(false)
		s.alters.Store(nil)
		s.notes.Tell("")
	case "result": // of a contest, as if bards had posted it
		return m.machine.CorruptResult(l.ContestID, l.Competitor, l.Points, true)
	case "record": // which the state machine does not know to have changed
		return m.machine.CorruptResult(l.ContestID, l.Competitor, l.Points, false)
	case "drop": // events, and say that they are applied
		s.drops.Store(true)
	case "entries": // other ones to one member: the id of an event is another
		s.alters.Store(&l)
	case "forge":
		return s.forge(l)
	case "grant":
		return s.grant()
	case certify.LieStay: // although its state is another one
		m.once.Do(func() {}) // it ends no more by itself
		s.notes.Tell(l.Lie)
	case certify.LieMute, certify.LieReplay, certify.LieJunk, certify.LieEquivocate, certify.LieCosign,
		certify.LieFuture, certify.LieNoSeal, certify.LieSeals:
		s.notes.Tell(l.Lie)
	default:
		return fmt.Errorf("the spy knows no lie %q", l.Lie)
	}
	return nil
}

// post tells those who post that their events are applied.
func (s *Spy) post(posts []*batch.Post, honestly func([]*batch.Post)) {
	if !s.drops.Load() {
		honestly(posts)
		return
	}
	for _, p := range posts {
		results := make([]score.Result, p.Events)
		for i := range results {
			results[i] = score.Result{Revision: s.member.machine.Revision() + 1, Status: score.Applied}
		}
		p.Done <- batch.Outcome{Results: results}
	}
}

// alter changes the id of an event on its way to a member.
func (s *Spy) alter(member string, b []byte) {
	if l := s.alters.Load(); l != nil && l.Member == member {
		if i := bytes.Index(b, []byte(l.Event)); i >= 0 {
			b[i] ^= 1
		}
	}
}

// append appends an entry to the log.
func (s *Spy) append(data []byte) error {
	return s.member.raft.Apply(data, time.Second).Error()
}

// forge appends an event that no bard has signed to the log: it gives a competitor points.
func (s *Spy) forge(l Lie) error {
	delta := mark.Points(l.Points)
	post, err := entry.EncodePost(score.Post{Mode: score.UntilRefused, Events: []score.Event{{
		ID: "forged", IDGiven: true, Source: l.Source, Type: score.TypeScorePlay, Time: time.Now().UTC(), TimeGiven: true,
		ContestID: l.ContestID, Data: &score.ScorePlay{Competitor: l.Competitor, Delta: &delta},
	}}})
	if err != nil {
		return err
	}
	return s.append(entry.Encode([]entry.EncodedPost{post}))
}

// grant gives a key of the spy's the rights of a bard.
func (s *Spy) grant() error {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	data, err := entry.EncodeChange(access.Change{At: time.Now().UTC(), By: "getafix", Grant: &access.Grant{
		ID: score.KeyID(key), Name: "bard", Role: access.RoleBard, Public: key,
	}})
	if err != nil {
		return err
	}
	return s.append(data)
}
