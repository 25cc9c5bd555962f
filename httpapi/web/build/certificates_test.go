package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"laurel/trust/merkle"
	"laurel/witness"
)

// certificates are what four frontends sign, without frontends: the state of each comes from
// the test.
type certificates struct {
	t        testing.TB
	mu       sync.Mutex
	policy   *witness.Policy
	operator *witness.Key
	nodes    []*witness.Node
	bodies   map[string]string // of the newest round
	answers  *witness.Answers
	edge     merkle.Edge
	round    witness.Round
	path     []witness.Hash
}

// newCertificates returns a group of four that has certified nothing yet.
func newCertificates(t testing.TB, store string) *certificates {
	t.Helper()
	key := func(name string, seed byte) *witness.Key {
		k, err := witness.NewKey(name, ed25519.NewKeyFromSeed(append(make([]byte, 31), seed)))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	c := &certificates{t: t, operator: key("getafix", 9), bodies: map[string]string{}, answers: new(witness.Answers)}
	c.policy = &witness.Policy{Store: store, Version: 1, Until: time.Now().Add(time.Hour).Truncate(time.Second), Quorum: 3}
	keys := make([]*witness.Key, 4)
	for i := range keys {
		keys[i] = key(fmt.Sprint("f", i+1), byte(i))
		c.policy.Frontends = append(c.policy.Frontends, keys[i].Frontend())
	}
	for _, k := range keys {
		n, err := witness.NewNode(k, c.policy, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, n)
	}
	return c
}

// policyText returns the policy as laurel policy prints it.
func (c *certificates) policyText() string {
	c.t.Helper()
	text, err := c.policy.Sign(c.operator)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// seal certifies a round with the bodies by key.
func (c *certificates) seal(bodies map[string]string, now time.Time) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := map[string]witness.Hash{}
	for key := range c.bodies {
		changed[key] = witness.Hash{}
	}
	for key, body := range bodies {
		changed[key] = sha256.Sum256([]byte(body))
	}
	c.bodies, c.answers = maps.Clone(bodies), c.answers.With(changed)
	number := c.edge.Size + 1
	c.round = witness.Round{
		Number: number, Index: 10 * number, Revision: 100 * number, Answers: c.answers.Size(), AnswersRoot: c.answers.Root(),
	}
	var head witness.Head
	var err error
	if c.edge, head, c.path, err = c.round.AppendTo(c.edge); err != nil {
		c.t.Fatal(err)
	}
	for i, n := range c.nodes {
		c.deliver(i, n.Sealed(head, now, now), now)
	}
	if got := c.nodes[0].Certificate().Size; got != number {
		c.t.Fatalf("round %d is certified; want %d", got, number)
	}
}

// renew lets the frontends sign new times.
func (c *certificates) renew(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := range c.nodes {
		c.deliver(i, n.Tick(now), now)
	}
}

func (c *certificates) deliver(from int, out witness.Output, now time.Time) {
	if out.Send == nil {
		return
	}
	for to, n := range c.nodes {
		if to == from {
			continue
		}
		reply, err := n.Receive(out.Send, now)
		if err != nil {
			c.t.Errorf("f%d does not take what f%d says: %v", to+1, from+1, err)
		}
		c.deliver(to, reply, now)
	}
}

// prove returns the answer of the newest round for a key, if it has one, and the proof.
func (c *certificates) prove(key string) (body string, ok bool, p witness.Proof) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, ok = c.bodies[key]
	return body, ok, witness.Proof{
		Round: c.round, Path: c.path, Note: c.nodes[0].Certificate().Note, Leaves: c.answers.Prove(key),
	}
}
