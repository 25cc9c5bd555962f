// Package verify reads from a sworn group without believing any single frontend.
//
// A Certified asks one frontend for an answer with its certificate, which has the signatures
// of a quorum: three of four, of which one may be corrupt, and be the master. It reads
// contests and medal tables, up to a second old. A Reader asks all frontends of a policy the
// same question side by side, and returns an answer once a quorum of them has signed it: any
// answer, as of now. Who says otherwise, or nothing, is named.
//
//	p, err := witness.ParsePolicy(text, operatorsKey)
//	file, err := verify.SeenFile(p)
//	a, err := verify.NewCertified(c, p, file).
//		Get(ctx, client.ScorePath("OG50BC/CUR-M-GPA-01"), nil)
//	b, err := verify.New(c, p).Get(ctx, client.ScorePath(""), nil)
package verify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/client"
	"laurel/score"
	"laurel/witness"
)

const (
	// DefaultTimeout bounds a read.
	DefaultTimeout = 10 * time.Second
	// DefaultGrace is how long an answer that is agreed on waits for the other frontends.
	DefaultGrace = 25 * time.Millisecond

	vouchPath = "/v1/vouch"
	maxAsked  = 32 // URLs
	// The pause before a frontend is asked again grows from firstPause to lastPause.
	firstPause = 2 * time.Millisecond
	lastPause  = 200 * time.Millisecond
)

// Reader reads answers on which the frontends of a policy agree. It is safe for concurrent
// use.
type Reader struct {
	// Timeout bounds each read, and Grace how long an answer that is agreed on waits for the
	// rest, so that they can be named. New sets the defaults.
	Timeout, Grace time.Duration

	client *client.Client
	policy *witness.Policy
}

// New returns a reader that asks the frontends that c uses, by its transport and with its
// token. Best is a client that was given the URLs of all of them: a list of the group's is
// the word of one frontend, and can hide the others.
func New(c *client.Client, p *witness.Policy) *Reader {
	return &Reader{DefaultTimeout, DefaultGrace, c, p}
}

// Answer is an answer that a quorum has signed.
type Answer struct {
	Body      []byte // JSON, as Client.Get returns it
	Revision  uint64 // a state of this revision gives the answer
	Agreed    []string
	Objectors []Objector // in the order of the policy
}

// Objector is a frontend that did not agree with an answer, and why as far as it is known, or
// a URL of which it is not known who answers there.
// While scores change, an honest one can give another answer of an earlier or later revision.
type Objector struct {
	Frontend, URL string
	Err           error
}

func (o Objector) String() string {
	switch {
	case o.URL == "":
		return fmt.Sprintf("%s: %v", o.Frontend, o.Err)
	case o.Frontend == "":
		return fmt.Sprintf("%s: %v", o.URL, o.Err)
	}
	return fmt.Sprintf("%s (%s): %v", o.Frontend, o.URL, o.Err)
}

// The kinds of errors of objectors. A frontend that could not be reached, or refused to
// answer, has that error instead.
var (
	ErrDiffers = errors.New("gave another answer")
	ErrAhead   = errors.New("says that it has a revision that it cannot have")
	ErrInvalid = errors.New("gave an answer that is not its own")
	ErrSilent  = errors.New("did not answer")
)

// NoQuorumError is the error of a read on whose answer too few frontends agree: nothing can
// be verified.
type NoQuorumError struct {
	Quorum    int
	Opinions  [][]string // the frontends that agree with each other; the most first
	Objectors []Objector // those that said nothing that could be verified
}

func (e *NoQuorumError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "nothing that can be verified: no %d frontends agree", e.Quorum)
	for _, names := range e.Opinions {
		fmt.Fprintf(&b, "\n%s gave one answer", strings.Join(names, " and "))
	}
	for _, o := range e.Objectors {
		fmt.Fprintf(&b, "\n%s", o)
	}
	return b.String()
}

// Get returns the answer to a GET of a path under /v1/ on which a quorum agrees. If that is a
// refusal, such as that there is no such contest, the error is the *score.Problem, and the
// answer is there, too. The error is a *NoQuorumError if no quorum agrees in time.
func (r *Reader) Get(ctx context.Context, path string, query url.Values) (*Answer, error) {
	if encoded := query.Encode(); encoded != "" {
		path += "?" + encoded
	}
	tally, err := witness.NewTally(r.policy, witness.Question{Question: path, Nonce: rand.Text()}, time.Now())
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	urls, err := r.urls(limited)
	if err != nil {
		return nil, err
	}
	p := &poll{reader: r, tally: tally, heard: map[string]heard{}, changed: make(chan struct{}, 1)}
	agreed := p.run(limited, urls)
	if err := context.Cause(ctx); agreed == nil && err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	if agreed == nil {
		return nil, &NoQuorumError{
			r.policy.Quorum, tally.Opinions(), p.objectors(&witness.Agreement{Silent: p.unheard()}),
		}
	}
	a := &Answer{[]byte(agreed.Body), agreed.Revision, agreed.Agreed, p.objectors(agreed)}
	if agreed.Status == http.StatusOK {
		return a, nil
	}
	problem := new(score.Problem)
	if err := json.Unmarshal(a.Body, problem); err != nil {
		return nil, fmt.Errorf("cannot read the answer with status %d: %w", agreed.Status, err)
	}
	return a, problem
}

// urls returns the URLs to ask. If there are too few it asks for the group's list.
func (r *Reader) urls(ctx context.Context) ([]string, error) {
	if len(r.client.URLs()) < len(r.policy.Frontends) {
		if _, err := r.client.Frontends(ctx); err != nil && len(r.client.URLs()) < r.policy.Quorum {
			return nil, err
		}
	}
	urls := r.client.URLs()
	return urls[:min(len(urls), maxAsked)], nil
}

// poll is one read at all frontends.
type poll struct {
	reader *Reader

	mu      sync.Mutex
	tally   *witness.Tally
	heard   map[string]heard // by URL
	changed chan struct{}
}

// heard is how the last attempt at a URL ended. The name is that of the frontend that has
// signed something, if verified, or else said that it did.
type heard struct {
	name     string
	verified bool
	err      error
}

// run asks at all URLs until an answer is agreed on, and the others have had the grace to
// answer. It returns nil if ctx ends before.
func (p *poll) run(ctx context.Context, urls []string) *witness.Agreement {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for _, u := range urls {
		p.heard[u] = heard{err: ErrSilent}
	}
	for _, u := range urls {
		asking.Go(func() { p.ask(ctx, u) })
	}
	var grace <-chan time.Time
	for {
		p.mu.Lock()
		agreed, all := p.tally.Agreement(), p.allHeard()
		p.mu.Unlock()
		// Who answers otherwise may only have been behind.
		if agreed != nil && all && len(agreed.Differ) == 0 {
			return agreed
		}
		if agreed != nil && grace == nil {
			grace = time.After(p.reader.Grace)
		}
		select {
		case <-p.changed:
		case <-grace:
			return agreed
		case <-ctx.Done():
			return agreed
		}
	}
}

// allHeard reports whether every attempt has ended at least once.
func (p *poll) allHeard() bool {
	for _, h := range p.heard {
		if h.err == ErrSilent {
			return false
		}
	}
	return true
}

// ask asks one frontend again and again until ctx ends.
func (p *poll) ask(ctx context.Context, at string) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		p.mu.Lock()
		question := p.tally.Question()
		p.mu.Unlock()
		said, err := p.reader.ask(ctx, at, question)
		if ctx.Err() != nil {
			return
		}
		p.hear(at, said, err)
		select {
		case <-time.After(pause/2 + mathrand.N(pause)):
		case <-ctx.Done():
			return
		}
	}
}

// hear notes how an attempt ended.
func (p *poll) hear(at string, said *witness.Statement, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.heard[at]
	h.err = err
	if err == nil {
		if err := p.tally.Add(said); err != nil {
			h.err = fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if !h.verified {
			h.name, h.verified = said.Frontend, h.err == nil
		}
	}
	p.heard[at] = h
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// ask asks the frontend at a URL once.
func (r *Reader) ask(ctx context.Context, at string, q witness.Question) (*witness.Statement, error) {
	body, err := json.Marshal(&q)
	if err != nil {
		return nil, err
	}
	status, answer, err := r.client.PostAt(ctx, at, vouchPath, body)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, refusal(status, answer)
	}
	said := new(witness.Statement)
	if err := json.Unmarshal(answer, said); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return said, nil
}

// unheard returns the frontends of which nothing was verified.
func (p *poll) unheard() (names []string) {
	for _, f := range p.reader.policy.Frontends {
		if p.urlOf(f.Name) == "" {
			names = append(names, f.Name)
		}
	}
	return names
}

// urlOf returns where something that the frontend has signed came from; "" if nothing did.
func (p *poll) urlOf(name string) string {
	for u, h := range p.heard {
		if h.verified && h.name == name {
			return u
		}
	}
	return ""
}

// objectors describes those who have not agreed. run must have returned.
func (p *poll) objectors(a *witness.Agreement) (list []Objector) {
	for _, f := range p.reader.policy.Frontends {
		o := Objector{Frontend: f.Name, URL: p.urlOf(f.Name)}
		switch {
		case slices.Contains(a.Differ, f.Name):
			o.Err = fmt.Errorf("%w, of revision %d", ErrDiffers, p.tally.Revision(f.Name))
		case slices.Contains(a.Ahead, f.Name):
			o.Err = fmt.Errorf("%w: %d", ErrAhead, p.tally.Revision(f.Name))
		case slices.Contains(a.Silent, f.Name):
			o.Err = ErrSilent
			p.guess(&o)
		default:
			continue
		}
		list = append(list, o)
	}
	if left := p.unnamed(); len(left) > 1 {
		for _, u := range left {
			if err := p.heard[u].err; err != ErrSilent {
				list = append(list, Objector{URL: u, Err: err})
			}
		}
	}
	return list
}

// guess finds where a silent frontend would answer: at the URL that used its name, or at the
// one that is left over.
func (p *poll) guess(o *Objector) {
	for u, h := range p.heard {
		if !h.verified && h.name == o.Frontend {
			o.URL, o.Err = u, h.err
			return
		}
	}
	if left := p.unnamed(); len(left) == 1 {
		o.URL, o.Err = left[0], p.heard[left[0]].err
	}
}

// unnamed returns the URLs at which nobody has used the name of a frontend, unless that answers
// elsewhere.
func (p *poll) unnamed() (urls []string) {
	for u, h := range p.heard {
		if !h.verified && (h.name == "" || p.urlOf(h.name) != "") {
			urls = append(urls, u)
		}
	}
	slices.Sort(urls)
	return urls
}
