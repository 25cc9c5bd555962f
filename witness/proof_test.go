package witness

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/trust/merkle"
)

func TestChangedAnswersGiveTheTreeMadeAnew(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	bodies, answers := map[string]Hash{}, new(Answers)
	for step := range 300 {
		changed := map[string]Hash{}
		for range random.IntN(4) {
			key := fmt.Sprintf("scores/%02d", random.IntN(40))
			changed[key] = sha256.Sum256([]byte{byte(step)})
			if random.IntN(3) == 0 {
				changed[key] = Hash{}
			}
		}
		before := answers.Root()
		next := answers.With(changed)
		if answers.Root() != before {
			t.Fatal("With changed the answers themselves")
		}
		maps.Copy(bodies, changed)
		maps.DeleteFunc(bodies, func(_ string, body Hash) bool { return body == Hash{} })
		var leaves []Hash
		for _, key := range slices.Sorted(maps.Keys(bodies)) {
			leaves = append(leaves, leafOf(key, bodies[key]))
		}
		want := merkle.Empty()
		if len(leaves) > 0 {
			want = *merkle.New(leaves).Root()
		}
		if next.Root() != want || next.Size() != uint64(len(leaves)) {
			t.Fatalf("step %d: %d answers have another root than made anew", step, next.Size())
		}
		answers = next
	}
}

func TestReadersAcceptEachAnswerAndEachAbsenceAndNothingElse(t *testing.T) {
	all := []string{"scores/a", "scores/b", "scores/c", "scores/d", "scores/e"}
	for present := range 1 << len(all) {
		bodies := map[string]string{}
		for i, key := range all {
			if present&(1<<i) != 0 {
				bodies[key] = "body of " + key
			}
		}
		answers := answersOf(bodies)
		round := Round{Number: 1, Answers: answers.Size(), AnswersRoot: answers.Root()}
		for _, asked := range append(all, "medals", "tables", "scores/aa") {
			body, ok := bodies[asked]
			p := Proof{Round: round, Leaves: answers.Prove(asked)}
			parsed, err := ParseProof(p.String())
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				if err := parsed.check(asked, []byte(body)); err != nil {
					t.Errorf("%05b: %s: %v", present, asked, err)
				}
				if parsed.check(asked, []byte(body+" ")) == nil || parsed.check(asked+" ", []byte(body)) == nil {
					t.Errorf("%05b: another body or key passes for %s", present, asked)
				}
			} else if err := parsed.check(asked, nil); err != nil {
				t.Errorf("%05b: no %s: %v", present, asked, err)
			}
			if ok && parsed.check(asked, nil) == nil || !ok && parsed.check(asked, []byte("x")) == nil {
				t.Errorf("%05b: the contrary passes for %s", present, asked)
			}
			for _, other := range all { // neighbours of another key do not show that this one is absent
				if _, ok := bodies[other]; ok && parsed.check(other, nil) == nil {
					t.Errorf("%05b: %s, which there is, is absent by the proof for %s", present, other, asked)
				}
			}
		}
	}
}

const someKey = "scores/c"

// lie changes a good proof, or the reader that it is for.
type lie func(p *Proof, r *Reader)

// checkLies looks whether a reader refuses a good proof of the second round after each lie.
// later is how long after the certificate the reader looks.
func checkLies(t *testing.T, g *group, answers *Answers, later time.Duration, want error, lies map[string]lie) {
	t.Helper()
	second := *g.proof(0, answers, someKey)
	for name, change := range lies {
		p, r := second, &Reader{Policy: testPolicy()}
		p.Leaves = answers.Prove(someKey)
		change(&p, r)
		if _, _, err := r.Verify(someKey, []byte(someBodies[someKey]), p.String(), g.now.Add(later)); !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", name, err, want)
		}
	}
}

// without returns a note without the signatures of some.
func without(signed []byte, names ...string) []byte {
	var kept strings.Builder
	for line := range strings.Lines(string(signed)) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "— "), " ")
		if !slices.Contains(names, name) {
			kept.WriteString(line)
		}
	}
	return []byte(kept.String())
}

func TestNoReaderAcceptsACertificateWithTooFewSignatures(t *testing.T) {
	g, answers := certifiedGroup(t)
	certificate, self := g.nodes[0].Certificate().Note, g.nodes[0].self
	checkLies(t, g, answers, 0, ErrQuorum, map[string]lie{
		"two frontends":            func(p *Proof, _ *Reader) { p.Note = without(certificate, "f1", "f2") },
		"no log":                   func(p *Proof, _ *Reader) { p.Note = without(certificate, "laurel/5f3a") },
		"one frontend":             func(p *Proof, _ *Reader) { p.Note = without(certificate, "f1", "f2", "f3") },
		"one frontend of a policy": func(_ *Proof, r *Reader) { r.Policy.Frontends = r.Policy.Frontends[1:2] },
	})
	checkLies(t, g, answers, 0, ErrSignature, map[string]lie{
		"nobody": func(p *Proof, _ *Reader) {
			p.Note = without(certificate, "f1", "f2", "f3", "f4", "laurel/5f3a")
		},
		"a report": func(p *Proof, _ *Reader) {
			p.Note = self.note("laurel/5f3a", ed25519Type, g.nodes[0].state.reported)
		},
		"signatures of another root": func(p *Proof, _ *Reader) {
			root := encodeHash(g.nodes[0].state.cosigned.Root)
			p.Note = []byte(strings.Replace(string(certificate), root, encodeHash(Hash{1}), 1))
		},
	})
}

func TestNoReaderAcceptsAnotherAnswerUnderAGoodCertificate(t *testing.T) {
	g, answers := certifiedGroup(t)
	old := *g.proof(0, answers, someKey)
	newer := answers.With(map[string]Hash{someKey: sha256.Sum256([]byte("newer"))})
	g.tick(SealInterval)
	g.seal(newer, 0, 1, 2, 3)
	newest := *g.proof(0, newer, someKey)
	checkLies(t, g, answers, 0, ErrAnswer, map[string]lie{
		"an old round under the newest note": func(p *Proof, _ *Reader) {
			leaf, _ := merkle.LeafHash(nil, []byte(newest.Round.String()))
			p.Round, p.Path = old.Round, append([]Hash{leaf}, old.Path...)
		},
		"the newest round with old leaves": func(p *Proof, _ *Reader) { p.Leaves = old.Leaves },
		"a changed round":                  func(p *Proof, _ *Reader) { *p = old; p.Round.Revision++ },
		"another contest's proof":          func(p *Proof, _ *Reader) { p.Leaves = newer.Prove("scores/a") },
		"a cut path":                       func(p *Proof, _ *Reader) { p.Leaves[0].Path = p.Leaves[0].Path[:1] },
		"a longer path":                    func(p *Proof, _ *Reader) { *p = old; p.Path = append(p.Path[:1:1], Hash{}) },
		"no leaf":                          func(p *Proof, _ *Reader) { p.Leaves = nil },
	})
}

func TestNoReaderAcceptsWhatIsNotFreshOrNotForIt(t *testing.T) {
	g, answers := certifiedGroup(t)
	nothing := map[string]lie{"nothing changed": func(*Proof, *Reader) {}}
	checkLies(t, g, answers, 2*MaxAge, ErrStale, nothing)
	checkLies(t, g, answers, -2*MaxAge, ErrFuture, nothing)
	checkLies(t, g, answers, 0, nil, nothing)
	checkLies(t, g, answers, 0, ErrOlder, map[string]lie{
		"a newer one was seen": func(_ *Proof, r *Reader) { r.Seen.Size = 3 },
	})
	checkLies(t, g, answers, 0, ErrExpired, map[string]lie{
		"an expired policy": func(_ *Proof, r *Reader) { r.Policy.Until = start.Add(-1) },
	})
	checkLies(t, g, answers, 0, ErrSignature, map[string]lie{
		"other frontends": func(_ *Proof, r *Reader) {
			for i := range r.Policy.Frontends {
				r.Policy.Frontends[i].Name += "x"
			}
			r.Policy.Store += "x"
		},
	})
	checkLies(t, g, answers, 0, ErrMalformed, map[string]lie{
		"another store": func(_ *Proof, r *Reader) { r.Policy.Store = "5f3b" },
	})
}

func TestAReaderRemembersTheNewestCertificate(t *testing.T) {
	g, answers := certifiedGroup(t)
	r := &Reader{Policy: testPolicy()}
	text := g.proof(0, answers, someKey).String()
	round, at, err := r.Verify(someKey, []byte(someBodies[someKey]), text, g.now)
	if err != nil || round.Number != 2 || !at.Equal(g.now.Truncate(time.Second)) || r.Seen.Size != 2 {
		t.Errorf("%v as of %v, %v", round, at, err)
	}
	g.tick(SealInterval)
	g.seal(new(Answers), 0, 1, 2, 3)
	_, _, err = r.Verify(someKey, nil, g.proof(0, new(Answers), someKey).String(), g.now)
	if err != nil || r.Seen.Size != 3 {
		t.Errorf("the newer answer: %v, seen %d", err, r.Seen.Size)
	}
	if _, _, err := r.Verify(someKey, []byte(someBodies[someKey]), text, g.now); !errors.Is(err, ErrOlder) {
		t.Errorf("the old answer after the newer one: %v", err)
	}
}

func TestTwoCertificatesOfOneSizeAreShownToTheReader(t *testing.T) {
	g, _ := certifiedGroup(t)
	note := g.nodes[0].Certificate().Note
	r := &Reader{Policy: testPolicy(), Seen: Certificate{Head: Head{2, Hash{7}}, Note: []byte("seen before")}}
	_, _, err := r.VerifyCertificate(note, g.now)
	var fork *ForkError
	if !errors.As(err, &fork) || string(fork.Seen) != "seen before" || string(fork.Other) != string(note) {
		t.Errorf("%v; want both notes", err)
	}
}

// The time that counts is the earliest of those that a quorum needs, so one corrupt
// frontend cannot make an answer look newer.
func TestOneFrontendsClockDoesNotMakeACertificateNewer(t *testing.T) {
	g, _ := certifiedGroup(t)
	l := g.nodes[3]
	for _, at := range []time.Time{start.Add(time.Hour), start.Add(24 * time.Hour)} {
		head := l.state.cosigned
		l.say(cosignatureType, head, at)
		if _, err := g.nodes[0].Receive(l.Notes(), g.now); err != nil {
			t.Fatal(err)
		}
		r := Reader{Policy: testPolicy()}
		_, got, err := r.VerifyCertificate(g.nodes[0].Certificate().Note, g.now)
		if err != nil || !got.Equal(g.now.Truncate(time.Second)) {
			t.Errorf("with a time of %v: %v, %v", at, got, err)
		}
	}
}

func TestProofsHaveOneSpelling(t *testing.T) {
	g, answers := certifiedGroup(t)
	text := g.proof(0, answers, "scores/b").String()
	if _, err := ParseProof(text); err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]string{
		"a longer header":  strings.Replace(text, "v1\n", "v1 \n", 1),
		"a number with 0":  strings.Replace(text, "index 1", "index 01", 1),
		"another index":    strings.Replace(text, "index 1", "index 2", 1),
		"no blank line":    strings.Replace(text, "\n\n", "\n", 1),
		"a line too many":  strings.Replace(text, "\n\n", "\nx\n\n", 1),
		"no base64":        strings.Replace(text, "extra ", "extra !", 1),
		"nothing":          "",
		"too large":        text + strings.Repeat("x", MaxProofSize),
		"carriage returns": strings.ReplaceAll(text, "\n", "\r\n"),
	} {
		if _, err := ParseProof(other); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
