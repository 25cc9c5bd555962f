package witness

import (
	"slices"
	"testing"
	"time"
)

// digests has frontends report digests of their newest rounds, each with the sum of its place.
func (g *group) digests(format uint64, sums ...byte) {
	g.t.Helper()
	for i, sum := range sums {
		if g.nodes[i] != nil && sum > 0 {
			head := g.heads[i][len(g.heads[i])-1]
			g.took(i, g.nodes[i].Digested(Digest{head, format, Hash{sum}}, g.now))
		}
	}
}

// wantAltered checks who is known to have another state than a quorum, at each frontend.
func (g *group) wantAltered(round uint64, names ...string) {
	g.t.Helper()
	for i, n := range g.nodes {
		own := slices.Contains(names, simKeys[i].Name())
		if got := n.Altered(); own != (got > 0) || own && got != round {
			g.t.Errorf("f%d had another state at round %d", i+1, got)
		}
		var found []string
		for _, v := range n.Verdicts() {
			if found = append(found, v.Frontend); v.Fault != Altered || v.Size != round {
				g.t.Errorf("the verdict of f%d is %+v", i+1, v)
			}
		}
		if !slices.Equal(found, names) {
			g.t.Errorf("f%d names %q; want %q", i+1, found, names)
		}
	}
}

func TestAFrontendWithAnotherStateThanAQuorumIsNamedUntilItHasTheSame(t *testing.T) {
	for odd := range simFrontends {
		g := newGroup(t)
		g.seal(answersOf(someBodies), 0, 1, 2, 3)
		sums := []byte{1, 1, 1, 1}
		sums[odd] = 2
		g.digests(4, sums...)
		g.wantAltered(1, simKeys[odd].Name())
		g.seal(answersOf(someBodies), 0, 1, 2, 3)
		g.digests(4, 3, 3, 3, 3)
		g.wantAltered(2)
		for i, n := range g.nodes {
			if got := n.Compared(); got != 2 {
				t.Errorf("f%d has compared states up to round %d", i+1, got)
			}
		}
	}
}

func TestNoStateIsComparedWithOneOfAnotherFormatOrHistoryOrWithoutAQuorum(t *testing.T) {
	all := []int{0, 1, 2, 3}
	for what, digests := range map[string]func(g *group){
		"all have the same":    func(g *group) { g.seal(answersOf(someBodies), all...); g.digests(4, 1, 1, 1, 1) },
		"two have another one": func(g *group) { g.seal(answersOf(someBodies), all...); g.digests(4, 1, 1, 2, 2) },
		"one says nothing":     func(g *group) { g.seal(answersOf(someBodies), all...); g.digests(4, 1, 1, 2) },
		"another format": func(g *group) {
			g.seal(answersOf(someBodies), all...)
			g.digests(4, 1, 1, 1)
			g.digests(5, 0, 0, 0, 2)
		},
		"another round": func(g *group) {
			g.seal(answersOf(someBodies), all...)
			g.digests(4, 1, 1, 1)
			g.seal(answersOf(someBodies), 3)
			g.digests(4, 0, 0, 0, 2)
		},
	} {
		t.Run(what, func(t *testing.T) {
			g := newGroup(t)
			digests(g)
			g.wantAltered(0)
		})
	}
}

// The history decides which states are compared: who has another one goes back because of
// that, and keeps what was certified.
func TestAStateOfAnotherHistoryIsNotComparedWithThatOfAQuorum(t *testing.T) {
	g := newGroup(t)
	g.seal(answersOf(someBodies), 0, 1, 2)
	g.digests(4, 1, 1, 1)
	g.seal(answersOf(map[string]string{"scores/a": "a lie"}), 3)
	g.digests(4, 0, 0, 0, 2)
	if got := g.nodes[3].Altered(); got != 0 {
		t.Errorf("it had another state at round %d", got)
	}
	if _, must := g.nodes[3].GoBack(); !must {
		t.Error("it does not go back")
	}
}

// A frontend that has gone back is sent again what it said before, with what others said.
func TestOldDigestsOfAFrontendSayNothingAboutItsState(t *testing.T) {
	g := newGroup(t)
	g.seal(answersOf(someBodies), 0, 1, 2, 3)
	g.digests(4, 1, 1, 1, 2)
	var old [][]byte
	for _, n := range g.nodes {
		old = append(old, n.digest)
	}
	again := func(i int) {
		t.Helper()
		if _, err := g.nodes[i].Receive(old, g.now); err != nil {
			t.Fatal(err)
		}
	}
	g.goBack(3, g.edge[3])
	again(3)
	if got := g.nodes[3].Altered(); got != 0 {
		t.Errorf("its own note has it leave everything, because of round %d", got)
	}
	g.seal(answersOf(someBodies), 0, 1, 2, 3)
	g.digests(4, 3, 3)
	for i := range g.nodes {
		again(i)
	}
	g.digests(4, 0, 0, 3, 3)
	g.wantAltered(0)
	for i, n := range g.nodes {
		if got := n.Compared(); got != 2 {
			t.Errorf("f%d has compared states up to round %d", i+1, got)
		}
	}
}

// What is not signed by the frontend, or is another kind of note, is not its digest.
func TestOnlyAFrontendItselfReportsItsDigest(t *testing.T) {
	g := newGroup(t)
	g.seal(answersOf(someBodies), 0, 1, 2, 3)
	g.digests(4, 1, 1)
	d := Digest{g.heads[0][0], 4, Hash{1}}
	text := d.text(testPolicy().Origin())
	stranger := operatorKey(t)
	forged, err := stranger.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	report := []byte(reportPrefix + string(g.nodes[0].digest[len(digestPrefix):]))
	for _, note := range [][]byte{forged, report, []byte(text), append([]byte(digestPrefix), make([]byte, maxNoteSize)...)} {
		if _, err := g.nodes[2].Receive([][]byte{note}, g.now.Add(time.Second)); err == nil {
			t.Errorf("%q is taken", note)
		}
	}
	if got := g.nodes[2].Compared(); got != 0 {
		t.Errorf("a quorum has reported round %d", got)
	}
}
