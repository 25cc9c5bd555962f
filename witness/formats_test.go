package witness

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	tlogproof "github.com/transparency-dev/formats/proof"
	fpolicy "github.com/transparency-dev/formats/witness"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

var update = flag.Bool("update", false, "rewrite the golden files of the formats")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("..", "testdata", "witness", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has changed:\n%s\nwant\n%s\n(run with -update if that is meant)", name, got, want)
	}
}

// certifiedGroup returns a group whose second round is certified.
func certifiedGroup(t *testing.T) (*group, *Answers) {
	t.Helper()
	g, answers := newGroup(t), answersOf(someBodies)
	g.seal(new(Answers), 0, 1, 2, 3)
	g.tick(SealInterval)
	g.seal(answers, 0, 1, 2, 3)
	if g.certified(0) != 2 {
		t.Fatalf("round %d is certified; want 2", g.certified(0))
	}
	return g, answers
}

func TestGoldenFormatsHaveNotChanged(t *testing.T) {
	g, answers := certifiedGroup(t)
	operator := operatorKey(t)
	policy, err := testPolicy().Sign(operator)
	if err != nil {
		t.Fatal(err)
	}
	n := g.nodes[0]
	for name, text := range map[string]string{
		"frontend.vkeys":     simKeys[0].Verifier() + "\n" + simKeys[0].Cosigner() + "\n",
		"operator.vkey":      operator.Verifier() + "\n",
		"policy":             string(policy),
		"round":              g.rounds[0].String(),
		"report":             string(n.self.note(n.policy.Origin(), ed25519Type, n.state.reported)),
		"certificate":        string(n.Certificate().Note),
		"state":              string(g.saved[0]),
		"present.tlog-proof": g.proof(0, answers, "scores/c").String(),
		"absent.tlog-proof":  g.proof(0, answers, "scores/b").String(),
	} {
		golden(t, name, []byte(text))
	}
}

func TestOtherProgramsMakeTheSameVerifierKeys(t *testing.T) {
	for _, key := range simKeys {
		f := key.Frontend()
		if want, err := note.NewEd25519VerifierKey(f.Name, f.Public); err != nil || key.Verifier() != want {
			t.Errorf("the verifier key is %q; want %q (%v)", key.Verifier(), want, err)
		}
		if want, err := fnote.VKeyToCosignatureV1(key.Verifier()); err != nil || key.Cosigner() != want {
			t.Errorf("the cosigner key is %q; want %q (%v)", key.Cosigner(), want, err)
		}
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb", strings.Repeat("x", maxName+1)} {
		if _, err := NewKey(name, simKeys[0].private); !errors.Is(err, ErrMalformed) {
			t.Errorf("a key with the name %q: %v", name, err)
		}
	}
}

func TestWhatAKeySignsIsVerifiedByItsVerifierKeyOnly(t *testing.T) {
	signed, err := simKeys[0].Sign("some words\n")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := Verify(simKeys[0].Verifier(), signed); text != "some words\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := Verify(simKeys[1].Verifier(), signed); !errors.Is(err, ErrSignature) {
		t.Errorf("with another key: %v", err)
	}
	if _, err := Verify("f1", signed); !errors.Is(err, ErrMalformed) {
		t.Errorf("with no key: %v", err)
	}
}

func TestPoliciesAreReadBackAsWrittenAndOnlyWithTheOperatorsSignature(t *testing.T) {
	operator, want := operatorKey(t), testPolicy()
	signed, err := want.Sign(operator)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParsePolicy(signed, operator.Verifier())
	if err != nil || got.String() != want.String() {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := ParsePolicy(signed, simKeys[0].Verifier()); !errors.Is(err, ErrSignature) {
		t.Errorf("signed by another key: %v", err)
	}
	for _, change := range [][2]string{
		{"version 3", "version 4"}, {"laurel 3", "laurel 2"}, {"2027", "2037"}, {"5f3a", "5f3b"},
	} {
		changed := strings.Replace(string(signed), change[0], change[1], 1)
		if _, err := ParsePolicy([]byte(changed), operator.Verifier()); !errors.Is(err, ErrSignature) {
			t.Errorf("with %q: %v", change[1], err)
		}
	}
}

func TestNoUnsafePolicyIsMadeOrUsed(t *testing.T) {
	for name, change := range map[string]func(*Policy){
		"a quorum of two of four":  func(p *Policy) { p.Quorum = 2 },
		"a quorum of five of four": func(p *Policy) { p.Quorum = 5 },
		"the same frontend twice":  func(p *Policy) { p.Frontends[1] = p.Frontends[0] },
		"one key under two names":  func(p *Policy) { p.Frontends[1].Public = p.Frontends[0].Public },
		"nobody":                   func(p *Policy) { p.Frontends = nil },
		"no store":                 func(p *Policy) { p.Store = "" },
		"a name with a line break": func(p *Policy) { p.Frontends[0].Name = "f\n1" },
	} {
		p := testPolicy()
		change(p)
		if _, err := p.Sign(operatorKey(t)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: Sign returns %v", name, err)
		}
		if _, err := NewNode(simKeys[0], p, nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: NewNode returns %v", name, err)
		}
	}
	for n, want := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 5, 10: 7} {
		if got := LeastQuorum(n); got != want || 2*got-n <= Corrupt(n) {
			t.Errorf("LeastQuorum(%d) = %d; want %d", n, got, want)
		}
	}
}

func TestOtherProgramsReadAndVerifyProofs(t *testing.T) {
	g, answers := certifiedGroup(t)
	text := g.proof(0, answers, "scores/c").String()
	var p tlogproof.TLogProof
	if err := p.Unmarshal([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if string(p.Marshal()) != text {
		t.Error("formats writes the proof otherwise")
	}
	var verifiers []note.Verifier
	for _, key := range simKeys {
		v, err := fnote.NewVerifierForCosignatureV1(key.Cosigner())
		if err != nil {
			t.Fatal(err)
		}
		verifiers = append(verifiers, v)
	}
	logKey := identity{"laurel/5f3a", ed25519Type, simKeys[0].Frontend().Public}
	v, err := note.NewVerifier(logKey.String())
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, rest, opened, err := log.ParseCheckpoint(p.Checkpoint, "laurel/5f3a", v, verifiers...)
	if err != nil || len(rest) > 0 {
		t.Fatalf("the certificate is no checkpoint: %v, %q", err, rest)
	}
	if len(opened.Sigs) < 4 {
		t.Errorf("%d signatures are valid", len(opened.Sigs))
	}
	if at, err := fnote.CoSigV1Timestamp(opened.Sigs[len(opened.Sigs)-1]); err != nil || at.Unix() != g.now.Unix() {
		t.Errorf("signed at %v (%v); want %v", at, err, g.now)
	}
	leaf := rfc6962.DefaultHasher.HashLeaf([]byte(g.rounds[0].String()))
	path := make([][]byte, len(p.Hashes))
	for i := range p.Hashes {
		path[i] = p.Hashes[i][:]
	}
	err = proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, checkpoint.Size, leaf, path, checkpoint.Hash)
	if err != nil {
		t.Error(err)
	}
	a := answers.Prove("scores/c")[0]
	leaf, path, root := rfc6962.DefaultHasher.HashLeaf(append([]byte("scores/c\n"), a.Body[:]...)), nil, answers.Root()
	for _, h := range a.Path {
		path = append(path, h[:])
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, a.Index, answers.Size(), leaf, path, root[:]); err != nil {
		t.Error(err)
	}
}

func TestOtherProgramsReadThePolicyAndFindItSatisfied(t *testing.T) {
	g, _ := certifiedGroup(t)
	signed, err := testPolicy().Sign(operatorKey(t))
	if err != nil {
		t.Fatal(err)
	}
	// This parser asks for an address of each witness.
	var text strings.Builder
	for line := range strings.Lines(string(signed)) {
		if strings.HasPrefix(line, "witness ") {
			line = strings.TrimSuffix(line, "\n") + " https://example.com/\n"
		}
		text.WriteString(line)
	}
	policy, err := fpolicy.ParsePolicy([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	certificate := g.nodes[0].Certificate().Note
	if !policy.Satisfied(certificate) {
		t.Error("a certificate does not satisfy the policy")
	}
	lines := strings.SplitAfter(string(certificate), "\n")
	if policy.Satisfied([]byte(strings.Join(lines[:len(lines)-3], ""))) {
		t.Error("a certificate of two frontends satisfies the policy")
	}
}

func TestRoundsAndStatesAreReadBackAsWritten(t *testing.T) {
	g, _ := certifiedGroup(t)
	for _, r := range []Round{{}, g.rounds[0]} {
		if back, err := ParseRound(r.String()); err != nil || back != r {
			t.Errorf("%v, %v; want %v", back, err, r)
		}
	}
	if s, err := parseState(simKeys[0], string(g.saved[0])); err != nil || s != g.nodes[0].state {
		t.Errorf("%v, %v; want %v", s, err, g.nodes[0].state)
	}
	if _, err := NewNode(simKeys[1], testPolicy(), g.saved[0]); !errors.Is(err, ErrMalformed) {
		t.Errorf("a node starts with the state of another key: %v", err)
	}
	if _, _, _, err := g.rounds[0].AppendTo(g.edge[0]); err == nil {
		t.Error("the same round is appended twice")
	}
}

func TestTimesAreInSeconds(t *testing.T) {
	g, _ := certifiedGroup(t)
	reader := Reader{Policy: testPolicy()}
	_, at, err := reader.VerifyCertificate(g.nodes[0].Certificate().Note, g.now)
	if err != nil || !at.Equal(g.now.Truncate(time.Second)) {
		t.Errorf("%v, %v; want %v", at, err, g.now)
	}
}
