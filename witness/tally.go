package witness

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// MaxAhead is how far a frontend's revision can be above that of a quorum: no honest one
// applies so much in the time of a read.
const MaxAhead = 1 << 20

// Tally counts what the frontends of a policy say in answer to one question, until a quorum
// of them agrees. All of it has the nonce of the one read that it is for.
//
// An answer that a quorum has given is true: two honest frontends of four have it from their
// own states. It is accepted when a quorum has also reached the latest of the revisions at
// which it was given. Then no read that begins later can be answered with an older state,
// because of any two quorums of four frontends the shared two have an honest one.
type Tally struct {
	policy   *Policy
	question Question
	said     map[answer]map[string]uint64 // by whom, at which least revision
	reached  map[string]uint64            // the largest revision of each frontend
	last     map[string]answer
}

type answer struct {
	status int
	body   string
}

// Agreement is an answer that may be believed. The slices have names of frontends in order.
type Agreement struct {
	Status   int
	Body     string
	Revision uint64   // a state of this revision gives the answer
	Agreed   []string // a quorum or more
	Differ   []string // said something else last
	Ahead    []string // said that they have a revision that they cannot have
	Silent   []string // said nothing that could be verified
}

// NewTally returns a tally of a question with a nonce that nobody has seen before.
func NewTally(p *Policy, q Question, now time.Time) (*Tally, error) {
	if now.After(p.Until) {
		return nil, fmt.Errorf("%w: %s", ErrExpired, p.Until.UTC().Format(time.RFC3339))
	}
	if err := q.Check(); err != nil {
		return nil, err
	}
	return &Tally{p, q, map[answer]map[string]uint64{}, map[string]uint64{}, map[string]answer{}}, nil
}

// Question returns the question to ask next. Its revision is the largest that more frontends
// have than may be corrupt, so that none waits for a revision that only a liar has named.
func (t *Tally) Question() Question {
	q := t.question
	q.Revision = t.reachedBy(Corrupt(len(t.policy.Frontends)) + 1)
	return q
}

// reachedBy returns the largest revision that n frontends have reached.
func (t *Tally) reachedBy(n int) uint64 {
	all := slices.Sorted(maps.Values(t.reached))
	if len(all) < n {
		return 0
	}
	return all[len(all)-n]
}

// Add counts a statement. The error says why it is none.
func (t *Tally) Add(s *Statement) error {
	if err := t.policy.VerifyVouch(&t.question, s); err != nil {
		return err
	}
	a := answer{s.Status, s.Body}
	if t.said[a] == nil {
		t.said[a] = map[string]uint64{}
	}
	if least, ok := t.said[a][s.Frontend]; !ok || s.Revision < least {
		t.said[a][s.Frontend] = s.Revision
	}
	t.reached[s.Frontend] = max(t.reached[s.Frontend], s.Revision)
	t.last[s.Frontend] = a
	return nil
}

// Revision returns the largest revision that a frontend says it has.
func (t *Tally) Revision(frontend string) uint64 { return t.reached[frontend] }

// Agreement returns the answer to accept, or nil while there is none.
func (t *Tally) Agreement() *Agreement {
	quorum, reached := t.policy.Quorum, t.reachedBy(t.policy.Quorum)
	var best *Agreement
	for a, by := range t.said {
		if len(by) < quorum {
			continue
		}
		// The least revisions of a quorum are enough for it.
		at := slices.Sorted(maps.Values(by))[quorum-1]
		if at <= reached && (best == nil || at > best.Revision) {
			best = &Agreement{Status: a.status, Body: a.body, Revision: at}
		}
	}
	if best != nil {
		t.judge(best)
	}
	return best
}

// judge sorts the frontends by what they said about an answer.
func (t *Tally) judge(a *Agreement) {
	is := answer{a.Status, a.Body}
	for _, f := range t.policy.Frontends {
		_, agreed := t.said[is][f.Name]
		_, spoke := t.last[f.Name]
		list := &a.Agreed
		switch {
		case !spoke:
			list = &a.Silent
		case t.reached[f.Name] > a.Revision && t.reached[f.Name]-a.Revision > MaxAhead:
			list = &a.Ahead
		case !agreed:
			list = &a.Differ
		}
		*list = append(*list, f.Name)
	}
}

// Opinions returns how many frontends gave each of the answers that they gave last, the most
// frequent first, for a report of why there is no agreement.
func (t *Tally) Opinions() [][]string {
	by := map[answer][]string{}
	for name, a := range t.last {
		by[a] = append(by[a], name)
	}
	all := slices.Collect(maps.Values(by))
	for _, names := range all {
		slices.Sort(names)
	}
	slices.SortFunc(all, func(a, b []string) int { return cmp.Or(len(b)-len(a), slices.Compare(a, b)) })
	return all
}
