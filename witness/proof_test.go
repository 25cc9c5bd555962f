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

// Each is something that one corrupt frontend can give to a reader.
func TestNoReaderAcceptsWhatOneCorruptFrontendCanGive(t *testing.T) {
	g, answers := certifiedGroup(t)
	const key = "scores/c"
	body := []byte(someBodies[key])
	oldNote := g.nodes[0].Certificate().Note
	oldRound, oldPath, now := g.rounds[0], g.paths[0], g.now
	newer := answers.With(map[string]Hash{key: sha256.Sum256([]byte("newer"))})
	g.tick(SealInterval)
	g.seal(newer, 0, 1, 2, 3)
	newest := g.nodes[0].Certificate().Note
	without := func(note []byte, names ...string) []byte {
		var kept strings.Builder
		for line := range strings.Lines(string(note)) {
			if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(line, "— "+name+" ") }) {
				kept.WriteString(line)
			}
		}
		return []byte(kept.String())
	}
	forged := func(head Head, names int) []byte {
		var seats []*seat
		for i, k := range simKeys[:names] {
			seats = append(seats, newSeat(k.Frontend()))
			by := signer{seats[i].identity(cosignatureType), k, uint64(now.Unix())}
			seats[i].cosigned[head], _ = by.Sign([]byte(head.checkpoint("laurel/5f3a")))
		}
		return formNote("laurel/5f3a", cosignatureType, head, seats)
	}
	second := Proof{oldRound, oldPath, oldNote, answers.Prove(key)}
	for name, c := range map[string]struct {
		change func(p *Proof, r *Reader)
		now    time.Duration
		want   error
	}{
		"one signature too few":  {func(p *Proof, _ *Reader) { p.Note = without(oldNote, "f1", "f2") }, 0, ErrQuorum},
		"no log signature":       {func(p *Proof, _ *Reader) { p.Note = without(oldNote, "laurel/5f3a") }, 0, ErrQuorum},
		"its own signature only": {func(p *Proof, _ *Reader) { p.Note = forged(Head{2, Hash{1}}, 1) }, 0, ErrQuorum},
		"no signature":           {func(p *Proof, _ *Reader) { p.Note = without(oldNote, "f1", "f2", "f3", "f4", "laurel/5f3a") }, 0, ErrSignature},
		"a report for a certificate": {func(p *Proof, _ *Reader) {
			p.Note = g.nodes[0].self.note("laurel/5f3a", ed25519Type, g.nodes[0].state.reported)
		}, 0, ErrSignature},
		"an old round under the newest note": {func(p *Proof, _ *Reader) {
			leaf, _ := merkle.LeafHash(nil, []byte(g.rounds[0].String()))
			p.Note, p.Path = newest, append([]Hash{leaf}, oldPath...)
		}, 0, ErrAnswer},
		"the newest round with old leaves": {func(p *Proof, _ *Reader) { p.Round, p.Path, p.Note = g.rounds[0], g.paths[0], newest }, 0, ErrAnswer},
		"a changed round":                  {func(p *Proof, _ *Reader) { p.Round.Revision++ }, 0, ErrAnswer},
		"another contest's proof":          {func(p *Proof, _ *Reader) { p.Leaves = answers.Prove("scores/a") }, 0, ErrAnswer},
		"a cut path":                       {func(p *Proof, _ *Reader) { p.Leaves[0].Path = p.Leaves[0].Path[:1] }, 0, ErrAnswer},
		"a longer path":                    {func(p *Proof, _ *Reader) { p.Path = append(p.Path, Hash{}) }, 0, ErrAnswer},
		"no leaf":                          {func(p *Proof, _ *Reader) { p.Leaves = nil }, 0, ErrAnswer},
		"an old certificate":               {nil, 2 * MaxAge, ErrStale},
		"a certificate of the future":      {nil, -2 * MaxAge, ErrFuture},
		"an older one than was seen":       {func(_ *Proof, r *Reader) { r.Seen = Certificate{Head{3, Hash{}}, newest} }, 0, ErrOlder},
		"a policy of another store":        {func(_ *Proof, r *Reader) { r.Policy.Store = "5f3b" }, 0, ErrMalformed},
		"a policy of other frontends":      {func(_ *Proof, r *Reader) { r.Policy.Frontends = r.Policy.Frontends[1:2] }, 0, ErrQuorum},
		"an expired policy":                {func(_ *Proof, r *Reader) { r.Policy.Until = start.Add(-1) }, 0, ErrExpired},
	} {
		p, r := second, &Reader{Policy: testPolicy()}
		p.Leaves = answers.Prove(key)
		if c.change != nil {
			c.change(&p, r)
		}
		if _, _, err := r.Verify(key, body, p.String(), now.Add(c.now)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", name, err, c.want)
		}
	}
	r := &Reader{Policy: testPolicy()}
	round, at, err := r.Verify(key, body, second.String(), now)
	if err != nil || round.Number != 2 || !at.Equal(now.Truncate(time.Second)) || r.Seen.Size != 2 {
		t.Errorf("the true answer: %v of %v, %v", round, at, err)
	}
	if _, _, err := r.Verify(key, []byte("newer"), g.proof(0, newer, key).String(), g.now); err != nil {
		t.Errorf("the newer answer: %v", err)
	}
	if _, _, err := r.Verify(key, body, second.String(), now); !errors.Is(err, ErrOlder) {
		t.Errorf("the old answer after the newer one: %v", err)
	}
}

func TestTwoCertificatesOfOneSizeAreShownToTheReader(t *testing.T) {
	g, _ := certifiedGroup(t)
	note := g.nodes[0].Certificate().Note
	r := &Reader{Policy: testPolicy(), Seen: Certificate{Head{2, Hash{7}}, []byte("seen before")}}
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
		if _, got, err := r.VerifyCertificate(g.nodes[0].Certificate().Note, g.now); err != nil || !got.Equal(g.now.Truncate(time.Second)) {
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
