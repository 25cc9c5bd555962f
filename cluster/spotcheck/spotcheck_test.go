package spotcheck

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/internal/testwitness"
	"laurel/witness"
)

const key = "scores/OG50BC/CUR-1"

// answerOf returns the answer of a contest at a revision.
func answerOf(revision, result int) string {
	return fmt.Sprintf(`{"contest_id":"OG50BC/CUR-1","result":%d,"revision":%d}`+"\n", result, revision)
}

// site is a certified group whose f2 and f4 a test has answer otherwise than they should.
type site struct {
	t       *testing.T
	group   *testwitness.Group
	checker *Checker
	plain   atomic.Pointer[string] // the right answer to GET, also to requests that were given up before it changed
}

// newSite starts f2, which answers by answer, or as it should if that returns false, and f3.
func newSite(t *testing.T, answer func(s *site, w http.ResponseWriter, r *http.Request) bool) *site {
	s := &site{t: t, group: testwitness.New(t, "5f3a")}
	s.certify(answerOf(1, 3)) // the revision of round 1 is 100, and so on
	urls := map[string]string{}
	for _, name := range []string{"f2", "f3"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case name == "f2" && answer(s, w, r):
			case strings.HasPrefix(r.URL.Path, "/v1/proof/"):
				s.group.ServeHTTP(w, r)
			default:
				_, _ = io.WriteString(w, *s.plain.Load()) // an error means that the checker is gone
			}
		}))
		t.Cleanup(server.Close)
		urls[name] = server.URL
	}
	s.checker = New(Config{
		Others: func() map[string]string { return urls },
		Policy: func() *witness.Policy { return s.group.Policy },
		Sample: func() (string, bool) { return key, true },
		Prove:  s.group.Prove, Logger: slog.New(slog.DiscardHandler),
		Client: NewClient(nil),
	})
	return s
}

func (s *site) certify(answer string) {
	s.plain.Store(&answer)
	s.group.Certify(map[string]string{key: answer, "scores/OG50BC/CUR-2": answerOf(2, 0)})
}

// check checks so often that a lie is found.
func (s *site) check() {
	for range settleChecks + 2*leastLies {
		s.checker.check(s.t.Context())
	}
}

func isProof(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v1/proof/") }

// proves returns what answers with a changed proof.
func proves(change func(*witness.Proven)) func(*site, http.ResponseWriter, *http.Request) bool {
	return func(s *site, w http.ResponseWriter, r *http.Request) bool {
		if isProof(r) {
			body, proof, err := s.group.Prove(r.Context(), key)
			if err != nil {
				s.t.Error(err)
			}
			text := string(body)
			p := witness.Proven{Answer: &text, Proof: proof}
			change(&p)
			writeJSON(s.t, w, &p)
		}
		return isProof(r)
	}
}

// says returns what gives an answer without a proof.
func says(answer string) func(*site, http.ResponseWriter, *http.Request) bool {
	return func(_ *site, w http.ResponseWriter, r *http.Request) bool {
		if !isProof(r) {
			_, _ = io.WriteString(w, answer)
		}
		return !isProof(r)
	}
}

func responds(status int) func(*site, http.ResponseWriter, *http.Request) bool {
	return func(_ *site, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		return true
	}
}

func TestWhoAnswersReadersFalselyIsAccusedAndNobodyElse(t *testing.T) {
	other := "another answer"
	for what, one := range map[string]struct {
		answer func(*site, http.ResponseWriter, *http.Request) bool
		lies   bool
	}{
		"the truth":            {says(answerOf(1, 3)), false},
		"an altered answer":    {proves(func(p *witness.Proven) { p.Answer = &other }), true},
		"no answer":            {proves(func(p *witness.Proven) { p.Answer = nil }), true},
		"an altered proof":     {proves(func(p *witness.Proven) { p.Proof = strings.Replace(p.Proof, "extra ", "extra A", 1) }), true},
		"no proof":             {proves(func(p *witness.Proven) { p.Proof = "" }), true},
		"no certificate":       {proves(func(p *witness.Proven) { p.Proof, _, _ = strings.Cut(p.Proof, "— ") }), true},
		"another score":        {says(answerOf(1, 4)), true},
		"a revision between":   {says(answerOf(50, 4)), true},
		"junk":                 {says("404"), true},
		"revision 0":           {says(answerOf(0, 0)), true},
		"a newer answer":       {says(answerOf(900, 4)), false},
		"it is overloaded":     {responds(http.StatusServiceUnavailable), false},
		"too many requests":    {responds(http.StatusTooManyRequests), false},
		"the group is private": {responds(http.StatusUnauthorized), false},
		"another frontend":     {responds(http.StatusTemporaryRedirect), false},
		"it has no answer":     {responds(http.StatusNotFound), false},
	} {
		s := newSite(t, one.answer)
		s.check()
		if accused := slices.Equal(s.checker.Accused(), []string{"f2"}); accused != one.lies || !one.lies && s.checker.Accused() != nil {
			t.Errorf("%s: %q are accused; f2 lies: %t", what, s.checker.Accused(), one.lies)
		}
	}
}

func TestAFrontendThatIsBehindIsNotAccused(t *testing.T) {
	s := newSite(t, says(answerOf(1, 3)))
	s.certify(answerOf(150, 4))
	s.check()
	if accused := s.checker.Accused(); accused != nil {
		t.Errorf("with an older answer: %q", accused)
	}
	old := testwitness.New(t, s.group.Policy.Store)
	old.SkewClocks(-time.Hour)
	old.Certify(map[string]string{key: answerOf(1, 3)})
	_, proof, err := old.Prove(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	s = newSite(t, proves(func(p *witness.Proven) { p.Proof = proof }))
	s.check()
	if accused := s.checker.Accused(); accused != nil {
		t.Errorf("with a certificate that is too old: %q", accused)
	}
}

// An answer can be newer than what is certified, and is compared when that has come so far.
func TestANewerAnswerIsComparedOnceItIsCertified(t *testing.T) {
	for lie, accused := range map[string][]string{answerOf(150, 7): nil, answerOf(150, 8): {"f2"}, answerOf(149, 7): nil} {
		s := newSite(t, says(lie))
		s.check()
		if got := s.checker.Accused(); got != nil {
			t.Fatalf("before: %q are accused", got)
		}
		s.certify(answerOf(150, 7))
		s.check()
		if got := s.checker.Accused(); !slices.Equal(got, accused) {
			t.Errorf("%s: %q are accused; want %q", lie, got, accused)
		}
	}
}

func TestAnAccusationEndsAMinuteAfterTheLastFalseAnswer(t *testing.T) {
	var r record
	now := time.Unix(1_800_000_000, 0)
	r.add(now)
	if r.accused(now) {
		t.Error("one false answer accuses")
	}
	r.add(now.Add(2 * forgiveAfter))
	if r.accused(now.Add(2 * forgiveAfter)) {
		t.Error("false answers long after each other accuse")
	}
	r.add(now.Add(3 * forgiveAfter))
	for after, want := range map[time.Duration]bool{0: true, forgiveAfter: true, forgiveAfter + 1: false} {
		if got := r.accused(now.Add(3*forgiveAfter + after)); got != want {
			t.Errorf("%v after the last one: %t", after, got)
		}
	}
}

func TestNoFrontendAloneHasAnotherOnePutOut(t *testing.T) {
	for _, one := range []struct {
		what    string
		n       int
		accused map[string][]string
		want    []string
	}{
		{"one accuses all", 4, map[string][]string{"f4": {"f1", "f2", "f3", "f1", "f1"}}, nil},
		{"two accuse one", 4, map[string][]string{"f1": {"f4"}, "f2": {"f4"}}, []string{"f4"}},
		{"and it accuses them", 4, map[string][]string{"f1": {"f4"}, "f2": {"f4"}, "f4": {"f1", "f2"}}, []string{"f4"}},
		{"one accuses itself too", 4, map[string][]string{"f1": {"f4"}, "f4": {"f4"}}, nil},
		{"two of seven, which may be corrupt", 7, map[string][]string{"f1": {"f4"}, "f2": {"f4"}}, nil},
		{"three of seven", 7, map[string][]string{"f1": {"f4"}, "f2": {"f4"}, "f3": {"f4"}}, []string{"f4"}},
	} {
		if got := Liars(one.n, one.accused); !slices.Equal(got, one.want) {
			t.Errorf("%s: %q; want %q", one.what, got, one.want)
		}
	}
}

func writeJSON(t *testing.T, w http.ResponseWriter, v any) {
	if err := json.MarshalWrite(w, v); err != nil {
		t.Log(err)
	}
}
