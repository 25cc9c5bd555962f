package witness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
	"time"

	"laurel/trust/merkle"
)

var start = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func operatorKey(t testing.TB) *Key {
	t.Helper()
	key, err := NewKey("operator", ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func testPolicy() *Policy {
	p := &Policy{Store: "5f3a", Version: 3, Until: start.AddDate(1, 0, 0), Quorum: 3}
	for _, key := range simKeys {
		p.Frontends = append(p.Frontends, key.Frontend())
	}
	return p
}

// group is four frontends without a network or a disk: what one says the others hear at
// once, if they are up.
type group struct {
	t     *testing.T
	now   time.Time
	nodes [simFrontends]*Node // nil: down
	saved [simFrontends][]byte
	mute  [simFrontends]bool // what it says is lost
	edge  [simFrontends]merkle.Edge
	heads [simFrontends][]Head // of all rounds
	// of the newest round of each
	rounds [simFrontends]Round
	paths  [simFrontends][]Hash
}

func newGroup(t *testing.T) *group {
	g := &group{t: t, now: start}
	for i := range g.nodes {
		g.boot(i)
	}
	return g
}

func (g *group) boot(i int) {
	g.t.Helper()
	node, err := NewNode(simKeys[i], testPolicy(), g.saved[i])
	if err != nil {
		g.t.Fatal(err)
	}
	g.nodes[i] = node
}

// goBack starts a frontend again with the history that it had at an edge.
func (g *group) goBack(i int, edge merkle.Edge) {
	g.t.Helper()
	g.edge[i], g.heads[i] = edge, g.heads[i][:edge.Size]
	g.boot(i)
	for _, h := range g.heads[i][g.nodes[i].Needs()-1:] {
		g.took(i, g.nodes[i].Sealed(h, g.now, g.now))
	}
}

// took saves and delivers an output of a node.
func (g *group) took(i int, out Output) {
	g.t.Helper()
	if out.Save != nil {
		g.saved[i] = out.Save
	}
	if out.Send == nil || g.mute[i] {
		return
	}
	for to, n := range g.nodes {
		if n == nil || to == i {
			continue
		}
		reply, err := n.Receive(out.Send, g.now)
		if err != nil {
			g.t.Fatalf("f%d does not take what f%d says: %v", to+1, i+1, err)
		}
		g.took(to, reply)
	}
}

// seal makes the next round at some frontends, with the answers.
func (g *group) seal(answers *Answers, at ...int) {
	g.t.Helper()
	for _, i := range at {
		number := g.edge[i].Size + 1
		round := Round{
			Number: number, Index: 10 * number, Revision: 100 * number, History: sha256.Sum256([]byte("history")),
			Answers: answers.Size(), AnswersRoot: answers.Root(),
		}
		edge, head, path, err := round.AppendTo(g.edge[i])
		if err != nil {
			g.t.Fatal(err)
		}
		g.edge[i], g.rounds[i], g.paths[i] = edge, round, path
		g.heads[i] = append(g.heads[i][:number-1], head)
		if g.nodes[i] != nil {
			g.took(i, g.nodes[i].Sealed(head, g.now, g.now))
		}
	}
}

// tick lets time pass at all that are up.
func (g *group) tick(d time.Duration) {
	g.t.Helper()
	g.now = g.now.Add(d)
	for i, n := range g.nodes {
		if n != nil {
			g.took(i, n.Tick(g.now))
		}
	}
}

func (g *group) certified(i int) uint64 { return g.nodes[i].Certificate().Size }

// answersOf returns answers with the bodies by key.
func answersOf(bodies map[string]string) *Answers {
	changed := map[string]Hash{}
	for key, body := range bodies {
		changed[key] = sha256.Sum256([]byte(body))
	}
	return new(Answers).With(changed)
}

var someBodies = map[string]string{
	"medals/FR": `{"gold":1}`, "scores/a": `{"home":1}`, "scores/c": `{"home":3}`, "scores/e": `{"home":5}`,
}

// proof returns what a frontend proves of a key in its newest round.
func (g *group) proof(i int, answers *Answers, key string) *Proof {
	return &Proof{g.rounds[i], g.paths[i], g.nodes[i].Certificate().Note, answers.Prove(key)}
}
