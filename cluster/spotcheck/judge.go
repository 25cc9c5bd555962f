package spotcheck

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/witness"
)

// truth is an answer in a round that a quorum has certified.
type truth struct {
	body     []byte
	revision uint64 // of the round
}

// plain is what a frontend answers to GET.
type plain struct {
	key  string
	body []byte
	at   time.Time
}

// finding is what a truth shows of an answer.
type finding int

const (
	nothing finding = iota // it is right, or older
	wrong
	open // it is newer than the truth
)

// judge compares an answer with the truth. An answer changes only with its revision, so in
// a round with a larger revision it is that answer or a later one. An older answer is no lie:
// the frontend may be behind.
func (p *plain) judge(t truth) finding {
	is, of := revisionOf(p.body), revisionOf(t.body)
	switch {
	case !strings.HasPrefix(p.key, "scores/") && !strings.HasPrefix(p.key, "medals/"):
		return nothing // without a revision
	case is > t.revision:
		return open
	case t.body == nil || is < of && is > 0 || bytes.Equal(p.body, t.body):
		return nothing
	}
	return wrong
}

// revisionOf returns the revision of a contest or a medal table; 0 if it has none.
func revisionOf(body []byte) uint64 {
	var of struct {
		Revision uint64 `json:"revision"`
	}
	if json.Unmarshal(body, &of) != nil {
		return 0
	}
	return of.Revision
}

// isLie reports whether an error of a proof shows that its frontend lies. It may be behind,
// and clocks may differ.
func isLie(err error) bool {
	return err != nil && !slices.ContainsFunc(
		[]error{witness.ErrStale, witness.ErrFuture, witness.ErrExpired, witness.ErrOlder},
		func(innocent error) bool { return errors.Is(err, innocent) })
}

const (
	// leastLies is the number of checks with a false answer after which a frontend is accused.
	leastLies = 2
	// forgiveAfter is how long it is accused after the last one.
	forgiveAfter = time.Minute
)

// record is what one frontend was found to answer falsely.
type record struct {
	lies int
	last time.Time
}

func (r *record) add(now time.Time) {
	if now.Sub(r.last) > forgiveAfter {
		r.lies = 0
	}
	r.lies, r.last = r.lies+1, now
}

func (r *record) accused(now time.Time) bool {
	return r.lies >= leastLies && now.Sub(r.last) <= forgiveAfter
}

// Liars returns those of n frontends whom so many others accuse that one of these is
// honest. accused has the accused ones by who accuses them.
func Liars(n int, accused map[string][]string) (liars []string) {
	accusers := map[string]int{}
	for by, names := range accused {
		names = slices.Clone(names)
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if name != by {
				accusers[name]++
			}
		}
	}
	for name, count := range accusers {
		if count > witness.Corrupt(n) {
			liars = append(liars, name)
		}
	}
	slices.Sort(liars)
	return liars
}
