package witness

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"laurel/trust/merkle"
)

// pastRound is a certified round: what is true of it, and how each answer is proven.
type pastRound struct {
	at     time.Time
	bodies map[string]string
	tree   *Answers
	proof  Proof // without leaves
}

func (r *pastRound) prove(key string) *Proof {
	p := r.proof
	p.Leaves = r.tree.Prove(key)
	return &p
}

// history certifies rounds in which some of the answers to keys come, change and go.
func history(t *testing.T, random *rand.Rand, rounds, keys int) (all []*pastRound) {
	g, bodies, tree := newGroup(t), map[string]string{}, new(Answers)
	for n := range rounds {
		changed := map[string]Hash{}
		for range 1 + random.IntN(keys/4) {
			key := keyOf(random.IntN(keys))
			bodies[key] = fmt.Sprintf(`{"home":%d,"away":%d}`, n, random.IntN(3))
			changed[key] = sha256.Sum256([]byte(bodies[key]))
			if random.IntN(5) == 0 {
				delete(bodies, key)
				changed[key] = Hash{}
			}
		}
		tree = tree.With(changed)
		g.tick(SealInterval)
		g.seal(tree, 0, 1, 2, 3)
		if g.certified(0) != uint64(n+1) {
			t.Fatalf("round %d is certified; want %d", g.certified(0), n+1)
		}
		all = append(all, &pastRound{g.now, maps.Clone(bodies), tree,
			Proof{Round: g.rounds[0], Path: g.paths[0], Note: g.nodes[0].Certificate().Note}})
	}
	return all
}

func keyOf(i int) string { return fmt.Sprintf("scores/OG50BC/CUR-%02d", i) }

// offer is what a frontend that lies gives a reader for a key. An absent body is "".
type offer struct {
	key, body, proof string
}

// alterations make a lie of a good offer, with what else a liar knows: all rounds, and the private
// keys of one frontend and of its log.
var alterations = map[string]func(random *rand.Rand, o *offer, of *pastRound, all []*pastRound){
	"another byte of the body": func(random *rand.Rand, o *offer, _ *pastRound, _ []*pastRound) {
		o.body = another(random, o.body+" ")
	},
	"no body": func(_ *rand.Rand, o *offer, _ *pastRound, _ []*pastRound) { o.body = "" },
	"another key's body": func(random *rand.Rand, o *offer, of *pastRound, _ []*pastRound) {
		o.body = of.bodies[keyOf(random.IntN(60))]
	},
	"a body of another round": func(random *rand.Rand, o *offer, _ *pastRound, all []*pastRound) {
		o.body = all[random.IntN(len(all))].bodies[o.key]
	},
	"another key's answer and proof": func(random *rand.Rand, o *offer, of *pastRound, _ []*pastRound) {
		other := keyOf(random.IntN(60))
		o.body, o.proof = of.bodies[other], of.prove(other).String()
	},
	"another byte of the proof": func(random *rand.Rand, o *offer, _ *pastRound, _ []*pastRound) {
		o.proof = another(random, o.proof)
	},
	"the lines of the proof": func(random *rand.Rand, o *offer, _ *pastRound, _ []*pastRound) {
		lines := strings.SplitAfter(o.proof, "\n")
		i, j := random.IntN(len(lines)), random.IntN(len(lines))
		switch random.IntN(3) {
		case 0:
			lines[i], lines[j] = lines[j], lines[i]
		case 1:
			lines = slices.Delete(lines, i, i+1)
		default:
			lines = slices.Insert(lines, i, lines[j])
		}
		o.proof = strings.Join(lines, "")
	},
	"parts of another round's proof": func(random *rand.Rand, o *offer, of *pastRound, all []*pastRound) {
		p, other := of.prove(o.key), all[random.IntN(len(all))].prove(o.key)
		switch random.IntN(4) {
		case 0:
			p.Round = other.Round
		case 1:
			p.Path = other.Path
		case 2:
			p.Note = other.Note
		default:
			p.Leaves = other.Leaves
			o.body = all[other.Round.Number-1].bodies[o.key]
		}
		o.proof = p.String()
	},
	"a leaf of a false body": func(_ *rand.Rand, o *offer, of *pastRound, _ []*pastRound) {
		p := of.prove(o.key)
		o.body += "x"
		p.Leaves[0].Key, p.Leaves[0].Body = o.key, sha256.Sum256([]byte(o.body))
		p.Leaves = p.Leaves[:1]
		o.proof = p.String()
	},
	"a false round": func(_ *rand.Rand, o *offer, of *pastRound, _ []*pastRound) {
		*o, _ = falseRound(o.key, of)
	},
	"a false round that the liar has signed": func(random *rand.Rand, o *offer, of *pastRound, all []*pastRound) {
		forged, head := falseRound(o.key, of)
		p, _ := ParseProof(forged.proof)
		origin, liar := testPolicy().Origin(), simKeys[3]
		signed, _ := note.Sign(&note.Note{Text: head.checkpoint(origin)},
			signer{identity{origin, ed25519Type, liar.Frontend().Public}, liar, 0},
			signer{liar.identity(cosignatureType), liar, uint64(of.at.Unix())})
		p.Note = signed
		if random.IntN(2) == 0 { // beside the others' cosignatures, which are of the true round
			_, others, _ := strings.Cut(string(without(all[random.IntN(len(all))].proof.Note, "f4", origin)), "\n\n")
			p.Note = append(signed, others...)
		}
		*o = forged
		o.proof = p.String()
	},
}

// falseRound is an offer of an answer that is false, in a round with which it agrees.
func falseRound(key string, of *pastRound) (offer, Head) {
	body := `{"home":99}`
	tree := of.tree.With(map[string]Hash{key: sha256.Sum256([]byte(body))})
	p := Proof{Round: of.proof.Round, Path: of.proof.Path, Note: of.proof.Note, Leaves: tree.Prove(key)}
	p.Round.Answers, p.Round.AnswersRoot = tree.Size(), tree.Root()
	size := p.Round.Number
	leaf, _ := merkle.LeafHash(nil, []byte(p.Round.String()))
	root, _ := merkle.RootFrom(leaf, size-1, size, p.Path)
	return offer{key, body, p.String()}, Head{size, root}
}

func another(random *rand.Rand, text string) string {
	b := []byte(text)
	b[random.IntN(len(b))] ^= byte(1 + random.IntN(255))
	return string(b)
}

// number returns the number in an environment variable, or a default.
func number(name string, or int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return or
}

// Three offers of four are lies. A reader may accept one that has changed nothing of worth, such as
// the true answer in an older round that is fresh for it. LAUREL_READS is the number of reads, and
// LAUREL_SEED chooses others.
func TestNoReaderAcceptsAWrongAnswerOfMany(t *testing.T) {
	random := rand.New(rand.NewPCG(uint64(number("LAUREL_SEED", 18)), 1))
	all := history(t, random, 24, 60)
	lies := slices.Sorted(maps.Keys(alterations))
	given, taken := map[string]int{}, map[string]int{}
	var r *Reader
	for n := range number("LAUREL_READS", 2000) {
		if n%50 == 0 {
			r = &Reader{Policy: testPolicy()} // who has seen nothing yet
		}
		now := len(all)/2 + n%50*len(all)/100 // time passes
		of := all[now-random.IntN(8)*random.IntN(2)]
		o := offer{key: keyOf(random.IntN(60))}
		o.body, o.proof = of.bodies[o.key], of.prove(o.key).String()
		what := "the truth"
		if random.IntN(4) > 0 {
			what = lies[random.IntN(len(lies))]
			alterations[what](random, &o, of, all)
		}
		given[what]++
		var body []byte
		if o.body != "" {
			body = []byte(o.body)
		}
		seen := r.Seen.Size
		round, at, err := r.Verify(o.key, body, o.proof, all[now].at)
		var fork *ForkError
		switch {
		case errors.As(err, &fork):
			t.Fatalf("read %d, %s: two certificates of one size", n, what)
		case what == "the truth" && err != nil && !errors.Is(err, ErrOlder):
			t.Fatalf("read %d, %s: %v", n, what, err)
		case err != nil:
			continue
		}
		taken[what]++
		if round.Number < max(seen, 1) || round.Number > uint64(len(all)) || all[now].at.Sub(at) > MaxAge {
			t.Fatalf("read %d, %s: round %d after %d, of %s", n, what, round.Number, seen, at)
		}
		if *round != all[round.Number-1].proof.Round || all[round.Number-1].bodies[o.key] != o.body {
			t.Fatalf("read %d, %s: %s is accepted as %q in round %d", n, what, o.key, o.body, round.Number)
		}
	}
	for _, what := range append(lies, "the truth") {
		t.Logf("%s: %d given, %d true ones accepted", what, given[what], taken[what])
	}
	if taken["the truth"] == 0 || given[lies[0]] == 0 {
		t.Error("nothing was accepted, or no lie told: the test shows nothing")
	}
}
