// Package testwitness certifies answers in one process for tests of readers: four frontends
// (package witness) hear at once what the others say, and certify whatever the test sets.
package testwitness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/trust/merkle"
	"laurel/witness"
)

const frontends = 4

// Group is four frontends that certify one history. Two groups of one store have the same keys:
// they are the two sides of a fork. Its methods may be called by any goroutine.
type Group struct {
	Policy *witness.Policy
	Keys   []*witness.Key

	t       testing.TB
	mu      sync.Mutex
	skew    time.Duration
	nodes   []*witness.Node
	bodies  map[string]string
	answers *witness.Answers
	edge    merkle.Edge
	round   witness.Round
	path    []witness.Hash
	changed chan struct{}
}

// New returns a group in which nothing is certified yet.
func New(t testing.TB, store string) *Group {
	t.Helper()
	g := &Group{
		t: t, bodies: map[string]string{}, answers: new(witness.Answers), changed: make(chan struct{}),
		Policy: &witness.Policy{
			Store: store, Version: 1, Quorum: 3, Until: time.Now().Add(time.Hour).Truncate(time.Second),
		},
	}
	for i := range frontends {
		key := Key(t, fmt.Sprintf("f%d", i+1), byte(i+1))
		g.Keys = append(g.Keys, key)
		g.Policy.Frontends = append(g.Policy.Frontends, key.Frontend())
	}
	for _, key := range g.Keys {
		n, err := witness.NewNode(key, g.Policy, nil)
		if err != nil {
			t.Fatal(err)
		}
		g.nodes = append(g.nodes, n)
	}
	return g
}

// Key returns the key of a seed.
func Key(t testing.TB, name string, seed byte) *witness.Key {
	t.Helper()
	k, err := witness.NewKey(name, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Certify changes answers, "" for none, and has the round certified.
func (g *Group) Certify(changed map[string]string) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	hashes := map[string]witness.Hash{}
	for key, body := range changed {
		if hashes[key], g.bodies[key] = sha256.Sum256([]byte(body)), body; body == "" {
			delete(g.bodies, key)
			hashes[key] = witness.Hash{}
		}
	}
	g.answers = g.answers.With(hashes)
	number := g.edge.Size + 1
	g.round = witness.Round{
		Number: number, Index: 10 * number, Revision: 100 * number,
		Answers: g.answers.Size(), AnswersRoot: g.answers.Root(),
	}
	var head witness.Head
	var err error
	if g.edge, head, g.path, err = g.round.AppendTo(g.edge); err != nil {
		g.t.Error(err)
	}
	for i, n := range g.nodes {
		g.took(i, n.Sealed(head, g.now(), g.now()))
	}
	if got := g.nodes[0].Certificate(); got.Head != head {
		g.t.Errorf("round %d is not certified; the newest is %d", number, got.Size)
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// SkewClocks has the frontends' clocks be ahead of the test's.
func (g *Group) SkewClocks(ahead time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.skew = ahead
	g.tick()
}

func (g *Group) now() time.Time { return time.Now().Add(g.skew) }

func (g *Group) tick() {
	for i, n := range g.nodes {
		g.took(i, n.Tick(g.now()))
	}
}

// took has all others hear what a frontend says.
func (g *Group) took(from int, out witness.Output) {
	if out.Send == nil {
		return
	}
	for to, n := range g.nodes {
		if to == from {
			continue
		}
		reply, err := n.Receive(out.Send, g.now())
		if err != nil {
			g.t.Errorf("f%d does not take what f%d says: %v", to+1, from+1, err)
		}
		g.took(to, reply)
	}
}

var errNothing = errors.New("nothing is certified")

// Prove implements httpapi.Certifier.
func (g *Group) Prove(_ context.Context, key string) (body []byte, proof string, err error) {
	p, body, err := g.Proof(key)
	if err != nil {
		return nil, "", err
	}
	return body, p.String(), nil
}

// Proof returns the answer for a key, nil for none, and its proof.
func (g *Group) Proof(key string) (*witness.Proof, []byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.edge.Size == 0 {
		return nil, nil, errNothing
	}
	g.tick()
	p := &witness.Proof{
		Round: g.round, Path: g.path, Note: g.nodes[0].Certificate().Note, Leaves: g.answers.Prove(key),
	}
	body, ok := g.bodies[key]
	if !ok {
		return p, nil, nil
	}
	return p, []byte(body), nil
}

// Checkpoint implements httpapi.Certifier.
func (g *Group) Checkpoint() (note []byte, changed <-chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.edge.Size == 0 {
		return nil, g.changed, errNothing
	}
	g.tick()
	return g.nodes[0].Certificate().Note, g.changed, nil
}

// ServeHTTP answers GET /v1/proof/ and a key as each of the frontends does.
func (g *Group) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, ok := strings.CutPrefix(r.URL.Path, "/v1/proof/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	body, proof, err := g.Prove(r.Context(), key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	proven := witness.Proven{Proof: proof}
	if body != nil {
		text := string(body)
		proven.Answer = &text
	}
	if err := json.MarshalWrite(w, &proven); err != nil {
		g.t.Log(err)
	}
}
