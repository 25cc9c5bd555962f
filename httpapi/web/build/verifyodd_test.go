package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"laurel/internal/testwitness"
	"laurel/trust/merkle"
	"laurel/witness"
)

func TestThePageRefusesNeighboursThatHideAnAnswer(t *testing.T) {
	t.Parallel()
	b := verifier(t)
	g, good := certified(t, 2)
	leaf := func(key string) witness.Leaf {
		p, _, err := g.Proof(key)
		if err != nil || len(p.Leaves) != 1 {
			t.Fatal(key, err)
		}
		return p.Leaves[0]
	}
	a, c, e, first := leaf("scores/a"), leaf(verifiedKey), leaf("scores/e"), leaf("medals/FR")
	var cases []proofCase
	for name, leaves := range map[string][]witness.Leaf{
		"none": nil, "not beside each other": {a, e}, "the wrong way round": {e, a}, "one in the middle": {a},
		"the next": {e}, "the first": {first}, "three": {a, c, e}, "itself and the next": {c, e}, "the same twice": {a, a},
	} {
		p, _, err := g.Proof(verifiedKey)
		if err != nil {
			t.Fatal(err)
		}
		p.Leaves = leaves
		hidden := good
		hidden.Name, hidden.Body, hidden.Proof = name, nil, p.String()
		cases = append(cases, hidden)
	}
	if n := compareVerdicts(t, b, cases); n != 0 {
		t.Errorf("%d of %d are accepted", n, len(cases))
	}
}

// The frontends of testwitness would not certify these rounds.
func TestThePageRefusesOddRoundsThatAreCertified(t *testing.T) {
	t.Parallel()
	b := verifier(t)
	g := testwitness.New(t, "5f3a")
	body := "x"
	answer := witness.Leaf{Key: "scores/a", Body: sha256.Sum256([]byte(body))}
	leafHash, _ := merkle.LeafHash(nil, append([]byte("scores/a\n"), answer.Body[:]...))
	second, long := answer, answer
	second.Index, long.Path = 1, []witness.Hash{{1}}
	var cases []proofCase
	for _, c := range []struct {
		name   string
		round  witness.Round
		leaves []witness.Leaf
		body   *string
	}{
		{"good", witness.Round{Number: 1, Answers: 1, AnswersRoot: leafHash}, []witness.Leaf{answer}, &body},
		{"another number", witness.Round{Number: 7, Answers: 1, AnswersRoot: leafHash}, []witness.Leaf{answer}, &body},
		{"no number", witness.Round{Answers: 1, AnswersRoot: leafHash}, []witness.Leaf{answer}, &body},
		{"beyond the end", witness.Round{Number: 1, Answers: 1, AnswersRoot: leafHash}, []witness.Leaf{second}, &body},
		{"too short a path", witness.Round{Number: 1, Answers: 2, AnswersRoot: leafHash}, []witness.Leaf{answer}, &body},
		{"too long a path", witness.Round{Number: 1, Answers: 1, AnswersRoot: leafHash}, []witness.Leaf{long}, &body},
		{"no answers, with a root", witness.Round{Number: 1, AnswersRoot: leafHash}, nil, nil},
		{"no answers", witness.Round{Number: 1, AnswersRoot: merkle.Empty()}, nil, nil},
	} {
		root, _ := merkle.LeafHash(nil, []byte(c.round.String()))
		checkpoint := fmt.Sprintf("laurel/5f3a\n1\n%s\n", base64.StdEncoding.EncodeToString(root[:]))
		now := time.Now()
		certificate := checkpoint + "\n" + signAsLog(t, g.Policy, checkpoint)
		for i, key := range g.Keys {
			certificate += cosign(t, key, byte(i+1), checkpoint, uint64(now.Unix()))
		}
		p := witness.Proof{Round: c.round, Note: []byte(certificate), Leaves: c.leaves}
		cases = append(cases, proofCase{
			Name: c.name, Policy: policyText(t, g), Key: "scores/a", Body: c.body, Proof: p.String(), Now: now.UnixMilli(),
		})
	}
	if n := compareVerdicts(t, b, cases); n != 2 {
		t.Errorf("%d of %d are accepted; want 2", n, len(cases))
	}
}

// signAsLog returns the line of the signature of the log by the first key of testwitness.
func signAsLog(t *testing.T, p *witness.Policy, checkpoint string) string {
	t.Helper()
	key, err := witness.NewKey(p.Origin(), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := key.Sign(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(signed), checkpoint+"\n")
}

// cosign returns the line of a cosignature by the key that testwitness makes of a seed.
func cosign(t *testing.T, key *witness.Key, seed byte, checkpoint string, seconds uint64) string {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	id, err := strconv.ParseUint(strings.Split(key.Cosigner(), "+")[1], 16, 32)
	if err != nil || !key.Frontend().Public.Equal(private.Public()) {
		t.Fatal("testwitness makes keys otherwise: ", err)
	}
	signature := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, uint32(id)), seconds)
	signed := ed25519.Sign(private, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", seconds, checkpoint))
	return "\u2014 " + key.Name() + " " + base64.StdEncoding.EncodeToString(append(signature, signed...)) + "\n"
}
