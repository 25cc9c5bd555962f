package witness

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/trust/merkle"
)

func (g *group) verdictOf(i int, fault Fault) *Verdict {
	for _, v := range g.nodes[i].Verdicts() {
		if v.Fault == fault {
			return &v
		}
	}
	return nil
}

func TestThreeFrontendsOfFourCertifyEachRound(t *testing.T) {
	g, answers := newGroup(t), answersOf(someBodies)
	g.nodes[3] = nil
	for number := range uint64(5) {
		g.seal(answers, 0, 1, 2)
		for i := range 3 {
			if g.certified(i) != number+1 {
				t.Fatalf("f%d has certificate %d; want %d", i+1, g.certified(i), number+1)
			}
		}
		g.tick(SealInterval)
	}
	if v := g.verdictOf(0, Silent); v == nil || v.Frontend != "f4" {
		t.Errorf("f4 has said nothing for five rounds: %v", g.nodes[0].Verdicts())
	}
}

func TestTwoFrontendsOfFourCertifyNothing(t *testing.T) {
	g := newGroup(t)
	g.nodes[2], g.nodes[3] = nil, nil
	for range 5 {
		g.seal(answersOf(someBodies), 0, 1)
		g.tick(2 * SealInterval)
	}
	if g.certified(0) != 0 {
		t.Errorf("round %d is certified", g.certified(0))
	}
}

func TestNothingIsSentThatIsNotSavedFirst(t *testing.T) {
	g, n := newGroup(t), 0
	g.seal(answersOf(someBodies), 0)
	s, err := parseState(simKeys[0], string(g.saved[0]))
	if err != nil || s.reported.Size != 1 {
		t.Errorf("saved with the report: %v, %v", s, err)
	}
	g.seal(answersOf(someBodies), 1, 2)
	if s, err = parseState(simKeys[n], string(g.saved[n])); err != nil || s.cosigned.Size != 1 {
		t.Errorf("saved with the cosignature: %v, %v", s, err)
	}
	g.now = g.now.Add(renewAfter)
	if out := g.nodes[n].Tick(g.now); out.Save != nil || out.Send == nil {
		t.Errorf("a new time is sent %t, and saved %q; it changes no state", out.Send != nil, out.Save)
	}
}

func TestTimesAreRenewedOnlyWhileNothingWaits(t *testing.T) {
	g, answers := certifiedGroup(t)
	shown := func() time.Time {
		_, at, err := (&Reader{Policy: testPolicy()}).open(g.nodes[0].Certificate().Note)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	g.tick(time.Minute)
	if !shown().Equal(g.now.Truncate(time.Second)) {
		t.Errorf("an idle group shows %v at %v", shown(), g.now)
	}
	for _, n := range g.nodes {
		n.Unsealed(g.now) // and no seal comes
	}
	last := g.now.Add(maxWaiting)
	for range 10 {
		g.tick(renewAfter)
	}
	if shown().After(last) {
		t.Errorf("entries wait, and the time goes on: %v after %v", shown(), last)
	}
	for _, n := range g.nodes {
		n.Unsealed(time.Time{})
	}
	g.seal(answers, 0, 1, 2, 3)
	if !shown().Equal(g.now.Truncate(time.Second)) {
		t.Errorf("after the seal the time is %v at %v", shown(), g.now)
	}
	// A round that is sealed, but not certified, is waited for in the same way.
	g.mute[1], g.mute[2] = true, true
	g.seal(answersOf(nil), 0, 1, 2, 3)
	before := g.now
	for range 10 {
		g.tick(renewAfter)
	}
	if g.certified(0) != 3 || shown().After(before.Add(maxWaiting)) {
		t.Errorf("round %d is shown as of %v; round 4 waits since %v", g.certified(0), shown(), before)
	}
}

func TestAFrontendThatReportsOtherwiseIsDivergedUntilItIsRight(t *testing.T) {
	g, answers := certifiedGroup(t)
	other := answersOf(map[string]string{"scores/a": "wrong"})
	g.tick(SealInterval)
	edge := g.edge[3]
	g.seal(other, 3)
	g.seal(answers, 0, 1, 2)
	if v := g.verdictOf(0, Diverged); v == nil || v.Frontend != "f4" || v.Size != 3 {
		t.Fatalf("f1 found %v", g.nodes[0].Verdicts())
	}
	if to, must := g.nodes[3].GoBack(); !must || to.Size != 2 || g.verdictOf(3, Diverged) == nil || g.nodes[3].Agrees() {
		t.Fatalf("f4 must go back %t, to %d; %v", must, to.Size, g.nodes[3].Verdicts())
	}
	if !g.nodes[3].OthersHave() {
		t.Error("three others have that history")
	}
	g.goBack(3, edge)
	g.seal(answers, 3)
	if _, must := g.nodes[3].GoBack(); must {
		t.Fatal("f4 has gone back and must again")
	}
	g.tick(SealInterval)
	g.seal(answers, 0, 1, 2, 3)
	if g.verdictOf(0, Diverged) != nil || g.certified(3) != 4 {
		t.Errorf("f4 is right again: f1 found %v, certificate %d", g.nodes[0].Verdicts(), g.certified(3))
	}
}

func TestWhenNoThreeCanAgreeItIsTheMastersFaultAndAllGoBackOnce(t *testing.T) {
	g, answers := certifiedGroup(t)
	g.tick(SealInterval)
	edges := g.edge
	for i, body := range []string{"x", "y", "z"} {
		g.seal(answersOf(map[string]string{"scores/a": body}), i)
	}
	g.tick(splitTime - time.Second)
	for i := range 3 {
		if v := g.verdictOf(i, Split); v != nil {
			t.Fatalf("f%d found %v, although others may have left theirs", i+1, v)
		}
	}
	g.tick(time.Second)
	for i := range 3 {
		if v := g.verdictOf(i, Split); v == nil || v.Size != 3 || v.Frontend != "" {
			t.Fatalf("f%d found %v", i+1, g.nodes[i].Verdicts())
		}
		if to, must := g.nodes[i].GoBack(); !must || to.Size != 2 {
			t.Errorf("f%d must go back %t, to %d", i+1, must, to.Size)
		}
	}
	for i := range 3 {
		g.goBack(i, edges[i])
	}
	g.seal(answers, 0, 1, 2, 3)
	g.tick(2 * SealInterval)
	g.seal(answers, 0, 1, 2, 3)
	if g.certified(0) != 4 || g.verdictOf(0, Split) != nil {
		t.Errorf("after going back: certificate %d, %v", g.certified(0), g.nodes[0].Verdicts())
	}
}

// f1 and f2 leave a round on which no three can agree just before f3 would, which has reported
// the next one, and so far nobody has said anything else of that.
func overtakenGroup(t *testing.T) (g *group, edges [simFrontends]merkle.Edge, answers *Answers) {
	g, answers = certifiedGroup(t)
	g.nodes[3] = nil
	g.tick(SealInterval)
	edges = g.edge
	for i, body := range []string{"x", "y", "z"} {
		g.seal(answersOf(map[string]string{"scores/a": body}), i)
	}
	g.tick(splitTime - time.Second)
	g.seal(answers, 2)
	if reported := g.nodes[2].state.reported.Size; reported != 4 {
		t.Fatalf("f3 has reported round %d", reported)
	}
	g.tick(time.Second)
	for i := range 2 {
		if g.verdictOf(i, Split) == nil {
			t.Fatalf("f%d stays", i+1)
		}
	}
	if g.verdictOf(2, Split) != nil {
		t.Fatal("f3 leaves, although the others may come back")
	}
	return g, edges, answers
}

func TestAFrontendThatOthersWhoHaveLeftDoNotComeBackToLeavesAsWell(t *testing.T) {
	g, edges, answers := overtakenGroup(t)
	g.goBack(0, edges[0]) // and take nothing from the master any more
	g.goBack(1, edges[1])
	g.goBack(2, g.edge[2]) // it stays, and only starts again
	for i := range 2 {
		g.took(i, Output{Send: g.nodes[i].Notes()}) // messages are repeated
	}
	for range 11 {
		g.tick(time.Second)
		g.seal(answers, 2)
	}
	if v := g.verdictOf(2, Split); v == nil {
		t.Fatalf("f3 found %v", g.nodes[2].Verdicts())
	}
	if to, must := g.nodes[2].GoBack(); !must || to.Size != 2 {
		t.Errorf("f3 must go back %t, to %d", must, to.Size)
	}
}

func TestAFrontendThatOthersComeBackToStays(t *testing.T) {
	g, edges, answers := overtakenGroup(t)
	for i := range 2 {
		g.goBack(i, edges[i])
		g.seal(answersOf(map[string]string{"scores/a": "z"}), i)
		g.seal(answers, i)
	}
	for range 20 {
		g.tick(time.Second)
	}
	if g.certified(2) != 4 || g.verdictOf(2, Split) != nil {
		t.Errorf("certificate %d, f3 found %v", g.certified(2), g.nodes[2].Verdicts())
	}
}

// The corrupt one is silent, so for all that f1 and f2 know it is down, and f3 corrupt. f3 hears
// of each of their rounds before it has its own.
func TestAFrontendWhoseHistoryTwoOthersContradictLeavesIt(t *testing.T) {
	g, answers := certifiedGroup(t)
	g.nodes[3] = nil
	edges := g.edge
	for second := range aloneTime / time.Second {
		g.tick(time.Second)
		if _, must := g.nodes[2].GoBack(); must {
			t.Fatalf("f3 leaves after %d s, although the others may come to its history", second)
		}
		g.seal(answers, 0, 1)
		g.seal(answersOf(map[string]string{"scores/a": "y"}), 2)
	}
	g.tick(time.Second)
	for i := range 3 {
		if _, must := g.nodes[i].GoBack(); must != (i == 2) {
			t.Errorf("f%d must go back: %t", i+1, must)
		}
	}
	g.goBack(2, edges[2])
	for g.edge[2].Size < g.edge[0].Size {
		g.seal(answers, 2)
	}
	for range 3 {
		g.tick(time.Second)
		g.seal(answers, 0, 1, 2)
	}
	if g.certified(2) != g.edge[2].Size || g.verdictOf(2, Split) != nil {
		t.Errorf("certificate %d of %d, f3 found %v", g.certified(2), g.edge[2].Size, g.nodes[2].Verdicts())
	}
}

// f3 has left a history in which it had reported more than the others now have, and reports
// none of these rounds again.
func TestNobodyLeavesARoundBeforeThoseThatHonestOnesHaveReportedOtherwise(t *testing.T) {
	g, answers := certifiedGroup(t)
	liar := &liar{front: &front{key: simKeys[3]}, world: &world{policy: testPolicy()}}
	g.nodes[3] = nil
	g.tick(SealInterval)
	edges := g.edge
	for range 3 { // rounds 3 to 5
		g.seal(answersOf(map[string]string{"scores/a": "y"}), 2)
		g.tick(2 * SealInterval)
	}
	if reported := g.nodes[2].state.reported.Size; reported != 5 {
		t.Fatalf("f3 has reported round %d", reported)
	}
	g.goBack(2, edges[2])
	for number := uint64(3); number <= 6; number++ {
		g.seal(answers, 0, 1, 2)
		for i := range 3 {
			g.took(i, Output{Send: g.nodes[i].Notes()})
			if number < 6 {
				lie := liar.sign(ed25519Type, Head{number, Hash{byte(number)}}, g.now)
				if out, err := g.nodes[i].Receive([][]byte{lie}, g.now); err != nil {
					t.Fatal(err)
				} else {
					g.took(i, out)
				}
			}
		}
		g.tick(2 * SealInterval)
	}
	for i := range 3 {
		if g.certified(i) != 6 || g.verdictOf(i, Split) != nil {
			t.Errorf("f%d has certificate %d, and found %v", i+1, g.certified(i), g.nodes[i].Verdicts())
		}
	}
}

// The corrupt one has misled f1 and f2, keeps its own report, and proves that history when both
// have left it. What f1 and f2 have then is what is certified, and may be nowhere else.
func TestNoFrontendGivesUpWhatItKeepsForAHistoryThatItHasReportedItself(t *testing.T) {
	g, answers := certifiedGroup(t)
	liar := &liar{front: &front{key: simKeys[3]}, world: &world{policy: testPolicy()}}
	g.nodes[2], g.nodes[3] = nil, nil
	g.tick(SealInterval)
	edges := g.edge
	g.seal(answersOf(map[string]string{"scores/a": "z"}), 0, 1)
	misled := g.heads[0][2]
	for i := range 2 {
		g.goBack(i, edges[i])
	}
	g.seal(answers, 0, 1)
	for i := range 2 {
		notes := append(g.nodes[1-i].Notes(), liar.sign(ed25519Type, misled, g.now))
		if _, err := g.nodes[i].Receive(notes, g.now); err != nil {
			t.Fatal(err)
		}
		if to, must := g.nodes[i].GoBack(); !must || to.Size != 2 || g.nodes[i].OthersHave() {
			t.Errorf("f%d must go back %t, to %d; others have that history: %t", i+1, must, to.Size, g.nodes[i].OthersHave())
		}
	}
}

func TestTwoReportsOfOneSizeConvictWithEvidenceForAnybody(t *testing.T) {
	g, _ := certifiedGroup(t)
	l := &liar{front: &front{key: simKeys[3]}, world: &world{policy: testPolicy()}}
	one := l.sign(ed25519Type, Head{3, Hash{1}}, g.now)
	two := l.sign(cosignatureType, Head{3, Hash{2}}, g.now)
	for i, note := range [][]byte{one, two} { // each hears one, and the rest from the other
		if _, err := g.nodes[i].Receive([][]byte{note}, g.now); err != nil {
			t.Fatal(err)
		}
		if g.verdictOf(i, Convicted) != nil {
			t.Fatalf("f%d convicts by one note", i+1)
		}
	}
	if _, err := g.nodes[1].Receive(g.nodes[0].Notes(), g.now); err != nil {
		t.Fatal(err)
	}
	v := g.verdictOf(1, Convicted)
	if v == nil || v.Frontend != "f4" {
		t.Fatalf("f2 found %v", g.nodes[1].Verdicts())
	}
	if names, err := Evidence(testPolicy(), v.Evidence[0], v.Evidence[1]); !slices.Equal(names, []string{"f4"}) || err != nil {
		t.Errorf("the evidence is against %q: %v", names, err)
	}
	if names, err := Evidence(testPolicy(), one, one); !errors.Is(err, ErrSignature) {
		t.Errorf("one note twice convicts %q", names)
	}
	if _, err := g.nodes[2].Receive(g.nodes[1].Notes(), g.now); err != nil || g.verdictOf(2, Convicted) == nil {
		t.Errorf("f3 is told by f2: %v, %v", g.nodes[2].Verdicts(), err)
	}
}

func TestAKeyWhoseStateIsOldSignsNothing(t *testing.T) {
	g, answers := certifiedGroup(t)
	old := g.saved[0]
	g.tick(SealInterval)
	g.seal(answers, 0, 1, 2, 3)
	g.saved[0] = old
	g.boot(0)
	if _, err := g.nodes[0].Receive(g.nodes[1].Notes(), g.now); err != nil {
		t.Fatal(err)
	}
	if g.verdictOf(0, Forgot) == nil {
		t.Errorf("f1 found %v", g.nodes[0].Verdicts())
	}
	out := g.nodes[0].Sealed(Head{2, sha256.Sum256(nil)}, g.now, g.now)
	if out.Save != nil {
		t.Errorf("it goes on: %q", out.Save)
	}
}

func TestAfterARestartOfAllNothingIsForgottenAndRoundsGoOn(t *testing.T) {
	g, answers := certifiedGroup(t)
	heads := g.nodes[0].rounds
	for i := range g.nodes {
		g.boot(i)
	}
	for i, n := range g.nodes {
		if n.Needs() != 2 || n.Agrees() {
			t.Errorf("f%d needs round %d, and agrees %t before it has any", i+1, n.Needs(), n.Agrees())
		}
	}
	for i, n := range g.nodes {
		for _, r := range heads {
			g.took(i, n.Sealed(r.Head, g.now, g.now))
		}
	}
	if g.certified(0) != 2 || !g.nodes[0].Agrees() {
		t.Errorf("certificate %d after the restart; want 2", g.certified(0))
	}
	g.seal(answers, 0, 1, 2, 3)
	g.tick(2 * SealInterval)
	if g.certified(0) != 3 {
		t.Errorf("certificate %d; want 3", g.certified(0))
	}
}

func TestNotesOfOthersStoresAndJunkAreRefusedAndTheRestIsTaken(t *testing.T) {
	g, answers := newGroup(t), answersOf(someBodies)
	g.mute[1], g.mute[2] = true, true
	g.seal(answers, 0, 1, 2)
	good := slices.Concat(g.nodes[1].Notes(), g.nodes[2].Notes())
	foreign := strings.Replace(string(good[0]), "laurel/5f3a", "laurel/0000", 1)
	for _, junk := range [][]byte{nil, []byte("x"), []byte(foreign), good[0][:100], make([]byte, maxNoteSize+1)} {
		if _, err := g.nodes[0].Receive([][]byte{junk}, g.now); err == nil {
			t.Errorf("%.40q is taken", junk)
		}
	}
	if _, err := g.nodes[0].Receive(make([][]byte, maxNotes+1), g.now); !errors.Is(err, ErrMalformed) {
		t.Errorf("too many notes: %v", err)
	}
	_, err := g.nodes[0].Receive(slices.Concat([][]byte{[]byte("x")}, good), g.now)
	if err == nil || g.nodes[0].state.cosigned.Size != 1 {
		t.Errorf("junk before good notes: %v, cosigned %d", err, g.nodes[0].state.cosigned.Size)
	}
}

func TestAMasterSealsAgainWhatCannotBeCertified(t *testing.T) {
	g, answers := newGroup(t), answersOf(someBodies)
	g.seal(answers, 0, 1)
	if n := g.nodes[0]; n.WantsSeal(g.now) || !n.WantsSeal(g.now.Add(maxWaiting)) {
		t.Error("a round without a certificate is not waited for, or for ever")
	}
	g.seal(answers, 2)
	if g.certified(0) != 1 || g.nodes[0].WantsSeal(g.now.Add(maxWaiting)) {
		t.Error("a certified round is sealed again")
	}
	g.tick(SealInterval)
	edge := g.edge[0]
	g.seal(answers, 0)
	g.tick(2 * SealInterval)
	g.seal(answers, 0)
	g.tick(2 * SealInterval)
	g.goBack(0, edge)
	if n := g.nodes[0]; n.state.reported.Size != 3 || !n.WantsSeal(g.now) {
		t.Errorf("it has reported round %d, and does not seal after round 1", n.state.reported.Size)
	}
}

// Sizes that a frontend has reported it cannot report again, so a corrupt master must not
// lead one far ahead of the others.
func TestNoMasterLeadsOneFrontendFarAhead(t *testing.T) {
	g, answers := newGroup(t), answersOf(someBodies)
	for range 10 * maxAhead {
		g.seal(answers, 0)
		g.tick(2 * SealInterval)
	}
	if got := g.nodes[0].state.reported.Size; got != maxAhead {
		t.Errorf("f1 alone has reported round %d; want %d", got, maxAhead)
	}
	for range 2 * maxAhead {
		g.seal(answers, 1, 2)
		g.tick(SealInterval)
	}
	if got := g.certified(1); got < maxAhead {
		t.Errorf("with the others: certificate %d; want %d or more", got, maxAhead)
	}
}

func TestAFrontendReportsNoHistoryWithoutWhatItCosignedUnlessAQuorumHasIt(t *testing.T) {
	g, answers := certifiedGroup(t)
	g.tick(SealInterval)
	edge := g.edge[0]
	g.boot(0)
	n := g.nodes[0]
	for size := uint64(2); size < 5; size++ {
		g.took(0, n.Sealed(Head{size, Hash{byte(size)}}, g.now, g.now))
		g.tick(2 * SealInterval)
	}
	if n.state.reported.Size != 2 || n.state.cosigned.Size != 2 {
		t.Fatalf("another history than what it cosigned is reported: %v", n.state)
	}
	// The others prove a higher round of the true history, which it then takes.
	for range 3 {
		g.seal(answers, 1, 2, 3)
		g.tick(2 * SealInterval)
	}
	if g.certified(1) != 5 {
		t.Fatalf("round %d is certified; want 5", g.certified(1))
	}
	g.goBack(0, edge)
	if _, err := g.nodes[0].Receive(g.nodes[1].Notes(), g.now); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		g.seal(answers, 0)
	}
	if got := g.nodes[0].state.cosigned.Size; got != 5 {
		t.Errorf("with the true history it has cosigned round %d; want 5", got)
	}
}

// f1 has cosigned a round of a history that was left. f2 and f3 have cosigned a higher round
// of theirs, and then reported a third history beside f4, which was left as well. Nobody but f2
// and f3 can tell f1 that it may follow them.
func TestAFrontendIsToldWhyItMayLeaveWhatItCosigned(t *testing.T) {
	g, answers := certifiedGroup(t)
	g.nodes[0] = nil
	for range 3 {
		g.tick(SealInterval)
		g.seal(answers, 0, 1, 2, 3)
	}
	edge, cosigned := g.edge[1], g.certified(1)
	g.mute = [simFrontends]bool{true, true, true, true}
	for range 2 {
		g.seal(answersOf(map[string]string{"scores/a": "another"}), 1, 2, 3)
		g.tick(2 * SealInterval)
	}
	var third [][]byte
	for _, n := range g.nodes[1:] {
		third = append(third, n.self.note(n.policy.Origin(), ed25519Type, n.state.reported))
	}
	g.nodes[3] = nil
	lost := Head{cosigned - 1, Hash{1}}
	g.saved[0] = []byte((&state{reported: lost, cosigned: lost}).text(simKeys[0]))
	again := func() { // all start again, and hear of the third history first
		g.mute = [simFrontends]bool{true, true, true, true}
		for i := range 3 {
			g.goBack(i, edge)
			out, err := g.nodes[i].Receive(third, g.now)
			if err != nil {
				t.Fatal(err)
			}
			g.took(i, out)
		}
		g.mute = [simFrontends]bool{}
	}
	again()
	for range 6 * maxAhead {
		g.seal(answers, 0, 1, 2)
		g.tick(SealInterval)
		for i, n := range g.nodes[:3] {
			if _, must := n.GoBack(); must {
				again()
				break
			}
			g.took(i, Output{Send: n.Notes()})
		}
	}
	if left := g.nodes[1].state.left; left <= cosigned || g.certified(0) <= left {
		t.Errorf("f2 has left round %d, and f1 has certificate %d", left, g.certified(0))
	}
}
