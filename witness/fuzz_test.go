package witness

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A proof that parses is written as it was read, and verifies only what it was made for.
func FuzzParseProof(f *testing.F) {
	t := &testing.T{}
	g, answers := certifiedGroup(t)
	for _, key := range []string{"scores/a", "scores/b", "zzz"} {
		f.Add(g.proof(0, answers, key).String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseProof(text)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%v is not of the kind malformed", err)
			}
			return
		}
		if p.String() != text {
			t.Errorf("%q is written as %q", text, p.String())
		}
		r := Reader{Policy: testPolicy()}
		if _, _, err := r.Verify("scores/a", []byte("not what it is"), text, g.now); err == nil {
			t.Errorf("%q proves a wrong answer", text)
		}
		if _, _, err := r.Verify("scores/a", nil, text, g.now); err == nil {
			t.Errorf("%q proves that there is no scores/a", text)
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	signed, err := testPolicy().Sign(simKeys[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(signed))
	f.Add(strings.TrimSuffix(string(signed), "\n"))
	f.Add(testPolicy().String())
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePolicy([]byte(text), simKeys[0].Verifier())
		if err == nil && strings.TrimSuffix(text, "\n") != strings.TrimSuffix(string(signed), "\n") {
			t.Errorf("%q is taken as signed: %v", text, p)
		}
		if p, err := parsePolicy(text); err == nil && p.String() != text {
			t.Errorf("%q is written as %q", text, p.String())
		}
	})
}

// Whatever a frontend is told, it does not panic, and believes only what is signed.
func FuzzReceive(f *testing.F) {
	g, _ := certifiedGroup(&testing.T{})
	g.nodes[1].Digested(Digest{g.heads[1][0], 4, Hash{1}}, g.now)
	for _, n := range g.nodes[1].Notes() {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, signed []byte) {
		n, err := NewNode(simKeys[0], testPolicy(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = n.Receive([][]byte{signed}, start)
		for _, s := range n.seats {
			for h := range s.reports {
				if h.Size == 0 || h.Size > 2 {
					t.Errorf("%q made a report of %d by %s", signed, h.Size, s.Name)
				}
			}
		}
		if err == nil && n.Certificate().Size > 2 {
			t.Errorf("%q is a certificate", signed)
		}
	})
}

func FuzzParseRound(f *testing.F) {
	r := Round{Number: 4711, Index: 88123, Revision: 812345, History: Hash{1}, Answers: 20417, AnswersRoot: Hash{2}}
	f.Add(r.String())
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ParseRound(text); err == nil && r.String() != text {
			t.Errorf("%q is written as %q", text, r.String())
		}
	})
}

func FuzzParseState(f *testing.F) {
	f.Add((&state{reported: Head{7, Hash{1}}, cosigned: Head{6, Hash{2}}, left: 3}).text(simKeys[0]))
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseState(simKeys[0], text); err == nil && s.text(simKeys[0]) != text {
			t.Errorf("%q is written as %q", text, s.text(simKeys[0]))
		}
		if n, err := NewNode(simKeys[0], testPolicy(), []byte(text)); err == nil {
			n.Tick(start.Add(time.Second))
		}
	})
}

func FuzzParseDigest(f *testing.F) {
	d := Digest{Head{7200, Hash{1}}, 4, Hash{2}}
	f.Add(d.text("laurel/5f3a"))
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := parseDigest("laurel/5f3a", text); err == nil && d.text("laurel/5f3a") != text {
			t.Errorf("%q is written as %q", text, d.text("laurel/5f3a"))
		} else if err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%v is not of the kind malformed", err)
		}
	})
}
