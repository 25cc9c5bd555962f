// Package spotcheck asks the other frontends of a sworn group what a reader would, at
// their ports for clients, and finds those that answer falsely there although they report
// the right history to the group.
//
// A [Checker] asks all for the same random answer, with its proof and without, and compares
// both with what is certified. A frontend that does not answer, refuses, or is behind does
// not lie. No frontend is believed alone when it accuses another one: see [Liars].
package spotcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/witness"
)

const (
	// Every is how often, at a time scale of 1, all others are asked for an answer.
	Every = 2 * time.Second
	// settleChecks is how many checks are left out after a start or a change of the policy,
	// while certificates of the one before are still shown.
	settleChecks = 10
	// askTimeout bounds the answers of one frontend in a check.
	askTimeout = 2 * time.Second
	// maxAnswer bounds an answer, in bytes. A larger one is not looked at.
	maxAnswer = 4 << 20
	// maxWait is how long an answer that is newer than what is certified is kept. A corrupt
	// master can have an honest frontend answer what is never certified.
	maxWait = 30 * time.Second
)

// Config configures a Checker.
type Config struct {
	// Others returns the URLs for clients of the other frontends, by name.
	Others func() map[string]string
	// Policy returns the policy of the roster; nil in a group that is not sworn.
	Policy func() *witness.Policy
	// Sample returns the key of a random certified answer.
	Sample func() (key string, ok bool)
	// Prove returns the answer to a key in the newest round that is certified here.
	Prove  func(ctx context.Context, key string) (body []byte, proof string, err error)
	Client *http.Client
	Every  time.Duration
	Logger *slog.Logger
}

// Checker asks other frontends. Its methods may be called by any goroutine.
type Checker struct {
	Config
	policy *witness.Policy // of the last check
	rest   int             // checks that are left out

	mu      sync.Mutex
	records map[string]*record
	waiting map[string]*plain // newer than what is certified, by frontend
}

// New returns a checker.
func New(c Config) *Checker {
	return &Checker{Config: c, records: map[string]*record{}, waiting: map[string]*plain{}}
}

// NewClient returns a client for a checker, with the configuration of each connection. It
// follows no redirects, and gives no credentials: in a private group it is refused.
func NewClient(config func() *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				d := tls.Dialer{Config: config()}
				return d.DialContext(ctx, network, addr)
			},
			IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Run checks until ctx ends.
func (c *Checker) Run(ctx context.Context) {
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.check(ctx)
		}
	}
}

// Accused returns the frontends that were found to answer falsely lately.
func (c *Checker) Accused() (names []string) {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, r := range c.records {
		if r.accused(time.Now()) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// check asks all others for the same answer.
func (c *Checker) check(ctx context.Context) {
	policy := c.Policy()
	if policy == nil {
		return
	}
	if c.policy == nil || c.policy.String() != policy.String() {
		c.policy, c.rest = policy, settleChecks
		c.mu.Lock()
		clear(c.waiting)
		c.mu.Unlock()
	}
	if c.rest > 0 {
		c.rest--
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	key, ok := c.Sample()
	if !ok {
		return
	}
	certified, err := c.truth(ctx, key)
	if err != nil {
		return // nothing is certified here now
	}
	others := c.Others()
	c.forget(others)
	var asking sync.WaitGroup
	for name, url := range others {
		asking.Go(func() { c.ask(ctx, name, url, key, certified) })
	}
	asking.Wait()
}

// truth returns what is certified of an answer. It takes it from this frontend only as a
// reader would.
func (c *Checker) truth(ctx context.Context, key string) (truth, error) {
	body, proof, err := c.Prove(ctx, key)
	if err != nil {
		return truth{}, err
	}
	reader := witness.Reader{Policy: c.policy}
	round, _, err := reader.Verify(key, body, proof, time.Now())
	if err != nil {
		return truth{}, err
	}
	return truth{body, round.Revision}, nil
}

// forget forgets all but the frontends that there are.
func (c *Checker) forget(others map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.records {
		if _, is := others[name]; !is {
			delete(c.records, name)
		}
	}
	for name := range c.waiting {
		if _, is := others[name]; !is {
			delete(c.waiting, name)
		}
	}
}

// ask asks a frontend for an answer, with its proof and without.
func (c *Checker) ask(ctx context.Context, name, url, key string, certified truth) {
	lie := c.proofOf(ctx, url, key)
	c.mu.Lock()
	p, of := c.waiting[name], certified
	c.mu.Unlock()
	var err error
	if p != nil {
		of, err = c.truth(ctx, p.key)
	} else {
		p = &plain{key: key, at: time.Now()}
		p.body, err = c.get(ctx, url+"/v1/"+key)
	}
	found := nothing
	if err == nil {
		found = p.judge(of)
	}
	if found == wrong {
		lie, key = errors.New("an answer without proof is not what is certified"), p.key
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, name)
	if found == open && time.Since(p.at) < maxWait {
		c.waiting[name] = p
	}
	if isLie(lie) {
		c.note(name, key, lie)
	}
}

// note notes that a frontend has answered falsely.
func (c *Checker) note(name, key string, err error) {
	r := c.records[name]
	if r == nil {
		r = &record{}
		c.records[name] = r
	}
	now := time.Now()
	known := r.accused(now)
	if r.add(now); !known {
		c.Logger.Warn("a frontend answers readers falsely", "member", name, "key", key, "err", err)
	}
}

// errNoAnswer means that a frontend has given no answer that could be true or false.
var errNoAnswer = errors.New("no answer")

// proofOf returns why the proof of an answer that a frontend gives does not verify.
func (c *Checker) proofOf(ctx context.Context, url, key string) error {
	b, err := c.get(ctx, url+"/v1/proof/"+key)
	if err != nil {
		return nil
	}
	var proven witness.Proven
	if err := json.Unmarshal(b, &proven); err != nil {
		return err
	}
	var body []byte
	if proven.Answer != nil {
		body = []byte(*proven.Answer)
	}
	reader := witness.Reader{Policy: c.policy}
	_, _, err = reader.Verify(key, body, proven.Proof, time.Now())
	return err
}

// get asks as a reader does.
func (c *Checker) get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	answer, err := c.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err == nil && (answer.StatusCode != http.StatusOK || len(body) > maxAnswer) {
		err = errNoAnswer
	}
	return body, err
}
