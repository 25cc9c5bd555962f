// Package testwitness certifies answers in one process for tests of readers: four frontends
// (package witness) hear at once what the others say, and certify whatever the test sets.
package testwitness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strconv"
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
	k, err := witness.NewKey(name, private(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func private(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
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

// Cosign replaces the time of one frontend's cosignature in a certificate, as a corrupt one
// may at any time.
func (g *Group) Cosign(i int, certificate []byte, at time.Time) []byte {
	text, _, _ := strings.Cut(string(certificate), "\n\n")
	key := g.Keys[i]
	_, rest, _ := strings.Cut(key.Cosigner(), "+")
	hash, err := strconv.ParseUint(rest[:8], 16, 32)
	if err != nil {
		g.t.Fatal(err)
	}
	signature := ed25519.Sign(private(byte(i+1)), fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at.Unix(), text))
	line := binary.BigEndian.AppendUint32(nil, uint32(hash))
	line = append(binary.BigEndian.AppendUint64(line, uint64(at.Unix())), signature...)
	var b strings.Builder
	for l := range strings.Lines(string(certificate)) {
		if !strings.HasPrefix(l, "— "+key.Name()+" ") {
			b.WriteString(l)
		}
	}
	fmt.Fprintf(&b, "— %s %s\n", key.Name(), base64.StdEncoding.EncodeToString(line))
	return []byte(b.String())
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
