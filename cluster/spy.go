//go:build spy

package cluster

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"laurel/cache"
	"laurel/cluster/batch"
	"laurel/cluster/certify"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/score/mark"
	"laurel/trust/access"
)

// Lie is what a spy makes a frontend do.
type Lie struct {
	Lie        string             `json:"lie"`
	ContestID  string             `json:"contest_id,omitzero"`
	Competitor string             `json:"competitor,omitzero"`
	Points     int64              `json:"points,omitzero"`
	Source     string             `json:"source,omitzero"` // of the event that it forges
	Token      string             `json:"token,omitzero"`  // by which that is posted
	Body       string             `json:"body,omitzero"`   // of an answer
	Member     string             `json:"member,omitzero"` // to whom it lies
	Alter      map[string]Altered `json:"alter,omitzero"`  // what it sends to members, by member
}

// Altered is what is sent in the place of something as long.
type Altered struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// The lies about posts.
const (
	lieDrop  = "drop"  // they are said to be applied
	lieSplit = "split" // all but the first event of each
	lieOrder = "order" // the next two posts reach a member in the other order
)

// Spy has a member lie. Its methods may be called by any goroutine.
type Spy struct {
	member *Member
	notes  *certify.Spy

	mu     sync.Mutex
	posts  Lie // about posts
	held   []*batch.Post
	alters map[string]Altered
}

// Enter puts a spy into a member that has just started. It replaces functions of the member,
// which may have been called already.
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
		s.tell(Lie{}, nil)
		m.machine.HideChanges(false)
		s.notes.Tell("")
	case "result": // of a contest, as if bards had posted it
		return m.machine.CorruptResult(l.ContestID, l.Competitor, l.Points, true)
	case "record": // which the state machine does not know to have changed
		return m.machine.CorruptResult(l.ContestID, l.Competitor, l.Points, false)
	case "snapshot": // with a record that only it has
		return s.snapshot(l)
	case "cache": // another answer in memory
		return m.frontend.Spoil(cache.ScoreKey(l.ContestID), []byte(l.Body))
	case "tree": // another node beside the leaf of an answer
		return m.machine.SpoilTree("scores/" + l.ContestID)
	case "withhold": // what has changed, from the other frontends
		m.machine.HideChanges(true)
	case lieDrop, lieSplit, lieOrder:
		s.tell(l, nil)
	case "entries": // other ones than its own, to some members
		s.tell(Lie{}, l.Alter)
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

func (s *Spy) tell(posts Lie, alters map[string]Altered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts, s.alters = posts, alters
}

// post lies about posts.
func (s *Spy) post(posts []*batch.Post, honestly func([]*batch.Post)) {
	s.mu.Lock()
	lie := s.posts
	if lie.Lie == lieOrder {
		posts = s.reorder(posts)
	}
	s.mu.Unlock()
	switch lie.Lie {
	case lieDrop:
		for _, p := range posts {
			p.Done <- batch.Outcome{Results: s.applied(nil, p.Events)}
		}
	case lieSplit:
		for _, p := range posts {
			p.Done <- s.split(p, honestly)
		}
	default:
		honestly(posts)
	}
}

// applied adds results that say that all of a number of events are applied.
func (s *Spy) applied(results []score.Result, events int) []score.Result {
	for len(results) < events {
		results = append(results, score.Result{Revision: s.member.machine.Revision() + 1, Status: score.Applied})
	}
	return results
}

// split posts the first event of a post, and returns an outcome of all.
func (s *Spy) split(p *batch.Post, honestly func([]*batch.Post)) batch.Outcome {
	c, err := entry.Decode(entry.Encode([]entry.EncodedPost{p.EncodedPost}))
	if err != nil {
		return batch.Outcome{Problem: outcomeUnknown()}
	}
	first := &c.Posts[0].Events[0]
	if problem := first.ParseData(); problem != nil {
		return batch.Outcome{Problem: problem}
	}
	encoded, err := entry.EncodePost(score.Post{Mode: c.Posts[0].Mode, Events: []score.Event{first.Event}})
	if err != nil {
		return batch.Outcome{Problem: outcomeUnknown()}
	}
	part := batch.NewPost(encoded, p.Secret)
	honestly([]*batch.Post{part})
	o := <-part.Done
	if o.Problem == nil {
		o.Results = s.applied(o.Results, p.Events)
	}
	return o
}

// reorder holds a post back until there are two. It returns these, which then reach one
// member in the other order. s.mu must be held.
func (s *Spy) reorder(posts []*batch.Post) []*batch.Post {
	s.held = append(s.held, posts...)
	if len(s.held) < 2 {
		return nil
	}
	posts, s.held = s.held, nil
	text := func(a, b *batch.Post) string {
		return string(entry.Encode([]entry.EncodedPost{a.EncodedPost, b.EncodedPost})[1:]) // in any format
	}
	s.alters = map[string]Altered{s.posts.Member: {From: text(posts[0], posts[1]), To: text(posts[1], posts[0])}}
	s.posts = Lie{}
	return posts
}

// alter changes what is on its way to a member.
func (s *Spy) alter(member string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.alters[member]
	if len(a.From) == 0 || len(a.From) != len(a.To) {
		return
	}
	if i := bytes.Index(b, []byte(a.From)); i >= 0 {
		copy(b[i:], a.To)
	}
}

// snapshot takes a snapshot of a state that this member has only meanwhile.
func (s *Spy) snapshot(l Lie) error {
	m := s.member
	if err := m.machine.CorruptResult(l.ContestID, l.Competitor, l.Points, false); err != nil {
		return err
	}
	err := m.raft.Snapshot().Error()
	return errors.Join(err, m.machine.CorruptResult(l.ContestID, l.Competitor, -l.Points, false))
}

// append appends an entry to the log.
func (s *Spy) append(data []byte) error {
	return s.member.raft.Apply(data, time.Second).Error()
}

// forge appends an event that no bard has signed to the log, by a token if there is one: it
// gives a competitor points.
func (s *Spy) forge(l Lie) error {
	delta := mark.Points(l.Points)
	post, err := entry.EncodePost(score.Post{Mode: score.UntilRefused, Events: []score.Event{{
		ID: "forged", IDGiven: true, Source: l.Source, Type: score.TypeScorePlay, Time: time.Now().UTC(),
		TimeGiven: true, ContestID: l.ContestID, Token: l.Token,
		Data: &score.ScorePlay{Competitor: l.Competitor, Delta: &delta},
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
