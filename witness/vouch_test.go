package witness

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"
)

const someNonce = "0123456789abcdefghijklmnop"

// readersQuestion is what readers ask in these tests.
var readersQuestion = Question{Question: "/v1/scores/OG50BC/CUR-1", Nonce: someNonce}

// says returns what a frontend of the test policy says.
func says(t testing.TB, i int, q Question, revision uint64, body string) *Statement {
	t.Helper()
	s := &Statement{Store: "5f3a", Revision: revision, Status: 200, Body: body}
	if err := simKeys[i].Vouch(&q, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func newTestTally(t testing.TB) *Tally {
	t.Helper()
	tally, err := NewTally(testPolicy(), readersQuestion, start)
	if err != nil {
		t.Fatal(err)
	}
	return tally
}

func TestASignedAnswerIsForOneQuestionOfOneReadOfOneStore(t *testing.T) {
	p, q := testPolicy(), readersQuestion
	good := says(t, 1, q, 7, "2:0")
	if err := p.VerifyVouch(&q, good); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(q *Question, s *Statement){
		"another nonce":     func(q *Question, _ *Statement) { q.Nonce = strings.Repeat("n", MinNonce) },
		"another question":  func(q *Question, _ *Statement) { q.Question += "2" },
		"another body":      func(_ *Question, s *Statement) { s.Body = "0:2" },
		"another revision":  func(_ *Question, s *Statement) { s.Revision++ },
		"another status":    func(_ *Question, s *Statement) { s.Status = 404 },
		"another store":     func(_ *Question, s *Statement) { s.Store = "5f3b" },
		"another name":      func(_ *Question, s *Statement) { s.Frontend = simKeys[2].Name() },
		"a stranger's name": func(_ *Question, s *Statement) { s.Frontend = "f9" },
		"no signature":      func(_ *Question, s *Statement) { s.Signature = nil },
	} {
		asked, s := q, *good
		change(&asked, &s)
		if err := p.VerifyVouch(&asked, &s); !errors.Is(err, ErrSignature) && !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := &Statement{Store: "another", Revision: 7, Status: 200, Body: "2:0"}
	if err := simKeys[1].Vouch(&q, other); err != nil {
		t.Fatal(err)
	}
	if err := p.VerifyVouch(&q, other); !errors.Is(err, ErrAnswer) {
		t.Errorf("a true signature for another store: %v", err)
	}
}

// Other programs verify by this text.
func TestTheTextOfASignedAnswerDoesNotChange(t *testing.T) {
	q := readersQuestion
	s := says(t, 0, q, 7, "2:0\n")
	const want = "laurel vouch 1\nstore 5f3a\nnonce " + someNonce + "\nrevision 7\nstatus 200\n" +
		"body HhFDdBQghYERcaR306iRrl9X0Yq9/OMhgVujv2p2wKM=\nquestion /v1/scores/OG50BC/CUR-1\n"
	if !ed25519.Verify(simKeys[0].Frontend().Public, []byte(want), s.Signature) {
		t.Errorf("it is\n%s", s.text(&q))
	}
}

func TestNoQuestionHasRoomForALineOfASignedText(t *testing.T) {
	for what, q := range map[string]Question{
		"a short nonce":              {Question: "/v1/scores", Nonce: strings.Repeat("n", MinNonce-1)},
		"a long nonce":               {Question: "/v1/scores", Nonce: strings.Repeat("n", MaxNonce+1)},
		"a line break in the nonce":  {Question: "/v1/scores", Nonce: strings.Repeat("n", MinNonce) + "\nrevision 9"},
		"no question":                {Nonce: someNonce},
		"a long question":            {Question: "/" + strings.Repeat("q", MaxQuestion), Nonce: someNonce},
		"a line break in a question": {Question: "/v1/scores\nbody x", Nonce: someNonce},
		"a letter that is not ASCII": {Question: "/v1/scores/\u00e9", Nonce: someNonce},
	} {
		if err := simKeys[0].Vouch(&q, &Statement{}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := NewTally(testPolicy(), q, start); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s, to a reader: %v", what, err)
		}
	}
}

// word is what one frontend says.
type word struct {
	by       int
	revision uint64
	body     string
}

func TestAnAnswerIsAcceptedWhenThreeOfFourAgree(t *testing.T) {
	const huge = 1 << 60
	for what, c := range map[string]struct {
		said           []word
		want           string // "": nothing is accepted
		revision       uint64
		differ, silent string
		ahead          string
	}{
		"two":                       {said: []word{{0, 7, "a"}, {1, 7, "a"}}},
		"one that says it thrice":   {said: []word{{0, 7, "a"}, {1, 7, "a"}, {1, 7, "a"}, {1, 8, "a"}}},
		"three":                     {said: []word{{0, 7, "a"}, {1, 7, "a"}, {2, 7, "a"}}, want: "a", revision: 7, silent: "f4"},
		"four":                      {said: []word{{0, 7, "a"}, {1, 7, "a"}, {2, 7, "a"}, {3, 7, "a"}}, want: "a", revision: 7},
		"a liar":                    {said: []word{{3, 7, "b"}, {0, 7, "a"}, {1, 7, "a"}, {2, 7, "a"}}, want: "a", revision: 7, differ: "f4"},
		"two liars":                 {said: []word{{3, 7, "b"}, {2, 7, "b"}, {0, 7, "a"}, {1, 7, "a"}}},
		"a liar far ahead":          {said: []word{{3, huge, "a"}, {0, 7, "a"}, {1, 7, "a"}, {2, 7, "a"}}, want: "a", revision: 7, ahead: "f4"},
		"a liar far ahead, and two": {said: []word{{3, huge, "a"}, {0, 7, "a"}, {1, 7, "a"}}},
		// Two honest ones were at 7, and came from there to 9. If 5 were accepted a later read could
		// be answered with what was so at 7.
		"a revision that only one has":        {said: []word{{0, 5, "a"}, {1, 9, "a"}, {3, 9, "a"}}},
		"a revision that three have by now":   {said: []word{{0, 5, "a"}, {1, 9, "a"}, {3, 9, "a"}, {0, 9, "b"}}, want: "a", revision: 9, silent: "f3"},
		"a revision that another has by now":  {said: []word{{0, 5, "a"}, {1, 9, "a"}, {3, 9, "a"}, {2, 10, "b"}}, want: "a", revision: 9, differ: "f3"},
		"the same answer at other times":      {said: []word{{0, 5, "a"}, {1, 6, "a"}, {2, 6, "a"}, {3, 6, "b"}, {0, 6, "a"}}, want: "a", revision: 6, differ: "f4"},
		"one that changed its mind meanwhile": {said: []word{{0, 5, "b"}, {0, 6, "a"}, {1, 6, "a"}, {2, 6, "a"}}, want: "a", revision: 6, silent: "f4"},
	} {
		tally := newTestTally(t)
		for _, w := range c.said {
			if err := tally.Add(says(t, w.by, readersQuestion, w.revision, w.body)); err != nil {
				t.Fatal(err)
			}
		}
		got := tally.Agreement()
		switch {
		case got == nil && c.want == "":
		case got == nil || got.Body != c.want || got.Revision != c.revision || strings.Join(got.Differ, " ") != c.differ ||
			strings.Join(got.Silent, " ") != c.silent || strings.Join(got.Ahead, " ") != c.ahead:
			t.Errorf("%s: accepted %+v; want %q at %d", what, got, c.want, c.revision)
		}
	}
}

func TestNoFrontendIsMadeToWaitForARevisionThatOnlyOneHasNamed(t *testing.T) {
	tally := newTestTally(t)
	for i, c := range []struct{ revision, want uint64 }{{1 << 60, 0}, {5, 5}, {9, 9}, {7, 9}} {
		// f4 lies, the first.
		if err := tally.Add(says(t, 3-i, readersQuestion, c.revision, "a")); err != nil {
			t.Fatal(err)
		}
		if got := tally.Question().Revision; got != c.want {
			t.Errorf("after %d frontends revision %d is named; want %d", i+1, got, c.want)
		}
	}
}

func TestAPolicyThatHasExpiredVerifiesNothing(t *testing.T) {
	p := testPolicy()
	if _, err := NewTally(p, readersQuestion, p.Until.Add(time.Second)); !errors.Is(err, ErrExpired) {
		t.Errorf("got %v", err)
	}
}

func TestAPolicyFromATrustedHandNeedsNoKeyOfItsOperator(t *testing.T) {
	signed, err := testPolicy().Sign(operatorKey(t))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPolicy(signed)
	if err != nil || p.String() != testPolicy().String() {
		t.Errorf("got %v, %v", p, err)
	}
	weak := strings.Replace(string(signed), "group laurel 3", "group laurel 2", 1)
	if _, err := ReadPolicy([]byte(weak)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a quorum of two: %v", err)
	}
}
