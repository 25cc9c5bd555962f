package verify

import (
	"context"
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
	proofPath = "/v1/proof/"
	// askNext is how long one frontend is waited for until the next one is asked too. It may
	// wait itself for the next certificate.
	askNext = time.Second
	// askAgain is the pause after no frontend has given anything that verifies.
	askAgain = 200 * time.Millisecond
)

// Certified reads answers under a certificate: three frontends of four have signed the root
// of a tree that has the answer, a moment ago. Any one frontend can pass it on. If that
// gives something that does not verify, the next one is asked. It is safe for concurrent
// use.
type Certified struct {
	// Timeout bounds each read. NewCertified sets the default.
	Timeout time.Duration

	client *client.Client
	policy *witness.Policy
	seen   *lastSeen

	mu   sync.Mutex
	last string // the URL that gave the last answer
}

// NewCertified returns a reader that asks the frontends that c uses. It accepts no round
// older than one that it has accepted before. seenFile remembers that for the next time,
// and for other programs that read the store; "" remembers it in this reader only. See
// SeenFile.
func NewCertified(c *client.Client, p *witness.Policy, seenFile string) *Certified {
	return &Certified{Timeout: DefaultTimeout, client: c, policy: p, seen: newSeen(seenFile, p)}
}

// CertifiedAnswer is an answer with the certificate that it is under.
type CertifiedAnswer struct {
	Body      []byte // JSON, as Client.Get returns it; nil if there is nothing
	Round     witness.Round
	At        time.Time  // everything that was certified before is in the answer
	Frontends []string   // those that have signed the certificate, a quorum or more
	URL       string     // of the frontend that passed it on
	Objectors []Objector // frontends whose answers were refused before, and why
	Note      []byte     // the certificate
}

// ErrNotCertified is the kind of error of a read whose answer no certificate covers: lists,
// leaderboards, timelines, a row of a medal table, and pages.
var ErrNotCertified = errors.New("certificates cover contests, medal tables, bards, the roster and the keys only")

// UnverifiedError is the error of a read to which no frontend gave an answer that verifies, or
// while another program keeps the file of the newest certificate locked.
type UnverifiedError struct {
	Objectors []Objector // by URL
}

func (e *UnverifiedError) Error() string {
	var b strings.Builder
	b.WriteString("nothing that can be verified: no answer under a fresh certificate was accepted")
	for _, o := range e.Objectors {
		fmt.Fprintf(&b, "\n%s", o)
	}
	return b.String()
}

// Key returns the key under which the answer to a GET of a path is certified, or an error of
// the kind ErrNotCertified.
func Key(path string, query url.Values) (string, error) {
	escaped, ok := strings.CutPrefix(path, "/v1/")
	key, err := url.PathUnescape(escaped)
	kind, id, _ := strings.Cut(key, "/")
	switch {
	case !ok || err != nil || len(query) > 0 || strings.Contains(key, "?"):
	case key == "roster", key == "keys":
		return key, nil
	case !score.ValidPath(id):
	case kind == "scores", kind == "bards", kind == "medals" && !strings.Contains(id, "/"):
		return kind + "/" + id, nil
	}
	return "", fmt.Errorf("%s: %w", path, ErrNotCertified)
}

// Get returns the certified answer to a GET of a path under /v1/. If there is proven to be
// none, the error is a *score.Problem, and the answer is there without a body. Other errors
// are of the kinds ErrNotCertified and witness.ErrExpired, an *UnverifiedError if no
// frontend gives anything that verifies in time, and a *witness.ForkError if certificates
// contradict each other: then nobody can be believed.
func (r *Certified) Get(ctx context.Context, path string, query url.Values) (*CertifiedAnswer, error) {
	key, err := Key(path, query)
	if err != nil {
		return nil, err
	}
	if time.Now().After(r.policy.Until) {
		return nil, fmt.Errorf("%w: %s", witness.ErrExpired, r.policy.Until.UTC().Format(time.RFC3339))
	}
	limited, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	s := &search{reader: r, key: key, refused: map[string]error{}}
	for {
		a, err := s.pass(limited, r.order())
		if a != nil || err != nil {
			return a, err
		}
		select {
		case <-time.After(askAgain):
		case <-limited.Done():
		}
		if limited.Err() != nil {
			break
		}
		// The frontends that were given may all be down, or lie.
		if len(r.client.URLs()) < len(r.policy.Frontends) {
			_, _ = r.client.Frontends(limited)
		}
	}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return nil, &UnverifiedError{s.objectors()}
}

// order returns the URLs to ask: first that which answered last, then the others at random,
// so that many readers do not all ask the same one.
func (r *Certified) order() []string {
	urls := slices.Clone(r.client.URLs())
	mathrand.Shuffle(len(urls), func(i, j int) { urls[i], urls[j] = urls[j], urls[i] })
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(urls, r.last); i > 0 {
		urls[0], urls[i] = urls[i], urls[0]
	}
	return urls[:min(len(urls), maxAsked)]
}

// search is one read.
type search struct {
	reader  *Certified
	key     string
	refused map[string]error // by URL, why what it gave last was not accepted
}

// given is what one frontend gave.
type given struct {
	url    string
	proven witness.Proven
	err    error
}

// pass asks each frontend once, one after the other, until one gives an answer that
// verifies. It returns nil without an error if none does.
func (s *search) pass(ctx context.Context, urls []string) (*CertifiedAnswer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan given, len(urls))
	asked := 0
	for answered := 0; answered < len(urls); {
		if asked < len(urls) {
			at := urls[asked]
			go func() { answers <- s.ask(ctx, at) }()
			asked++
		}
		var slow <-chan time.Time
		if asked < len(urls) {
			slow = time.After(askNext)
		}
		select {
		case g := <-answers:
			answered++
			a, err := s.judge(ctx, g)
			if a != nil || err != nil {
				return a, err
			}
		case <-slow:
		case <-ctx.Done():
			for _, at := range urls[:asked] {
				if s.refused[at] == nil {
					s.refused[at] = ErrSilent
				}
			}
			return nil, nil
		}
	}
	return nil, nil
}

// ask asks the frontend at a URL.
func (s *search) ask(ctx context.Context, at string) given {
	path := proofPath + (&url.URL{Path: s.key}).EscapedPath()
	status, body, err := s.reader.client.GetAt(ctx, at, path)
	if err != nil {
		return given{url: at, err: err}
	}
	return heardOf(at, status, body)
}

// heardOf reads a response.
func heardOf(at string, status int, body []byte) given {
	g := given{url: at}
	if status != http.StatusOK {
		g.err = refusal(status, body)
	} else if err := json.Unmarshal(body, &g.proven); err != nil {
		g.err = fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return g
}

// judge returns the answer that a frontend gave if it verifies. The error is one for which
// no other frontend needs to be asked.
func (s *search) judge(ctx context.Context, g given) (*CertifiedAnswer, error) {
	err := g.err
	a := &CertifiedAnswer{URL: g.url}
	if err == nil {
		if g.proven.Answer != nil {
			a.Body = []byte(*g.proven.Answer)
		}
		err = s.reader.accept(ctx, a, s.key, g.proven.Proof)
	}
	if _, fork := errors.AsType[*witness.ForkError](err); fork || errors.Is(err, errSeen) {
		return nil, err
	}
	if err != nil {
		// The end of the read fails what is under way, which is no reason to refuse anything.
		if s.refused[g.url] == nil || ctx.Err() == nil {
			s.refused[g.url] = err
		}
		return nil, nil
	}
	s.reader.mu.Lock()
	s.reader.last = g.url
	s.reader.mu.Unlock()
	a.Objectors = s.objectors()
	if a.Body == nil {
		return a, score.Problemf(score.NotFound, "there is no %s, as of round %d", s.key, a.Round.Number)
	}
	return a, nil
}

// accept completes an answer if it verifies, and remembers the certificate.
func (r *Certified) accept(ctx context.Context, a *CertifiedAnswer, key, proof string) error {
	return r.seen.update(ctx, func(newest *witness.Certificate) error {
		reader := witness.Reader{Policy: r.policy, Seen: *newest}
		round, at, err := reader.Verify(key, a.Body, proof, time.Now())
		if err != nil {
			return err
		}
		_, a.Frontends, err = witness.Signers(r.policy, reader.Seen.Note)
		a.Round, a.At, a.Note = *round, at, reader.Seen.Note
		*newest = reader.Seen
		return err
	})
}

// objectors returns those whose answers were refused, by URL.
func (s *search) objectors() (list []Objector) {
	for at, err := range s.refused {
		list = append(list, Objector{URL: at, Err: err})
	}
	slices.SortFunc(list, func(a, b Objector) int { return strings.Compare(a.URL, b.URL) })
	return list
}

// refusal returns the error of an answer with another status than 200.
func refusal(status int, body []byte) error {
	problem := new(score.Problem)
	if json.Unmarshal(body, problem) == nil && problem.Code != "" {
		return problem
	}
	return fmt.Errorf("answered with status %d, which nobody has signed", status)
}
