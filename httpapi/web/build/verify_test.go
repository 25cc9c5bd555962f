package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/go-json-experiment/json"

	"laurel/internal/testwitness"
	"laurel/witness"
)

// verifier opens a page that has the exports of what verifies as the object verify.
func verifier(t testing.TB) *tab {
	t.Helper()
	result := api.Build(api.BuildOptions{
		Stdin: &api.StdinOptions{
			Contents:   `export * from './verify'; export * from './policy'`,
			ResolveDir: "../app", Loader: api.LoaderTS,
		},
		Bundle: true, Format: api.FormatIIFE, GlobalName: "verify", Charset: api.CharsetUTF8, Target: api.ES2022,
	})
	if len(result.Errors) > 0 || len(result.OutputFiles) != 1 {
		t.Fatalf("build: %v", result.Errors)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, blank)
	}))
	t.Cleanup(server.Close)
	b := newTab(t, desktop, nil).open(server.URL)
	b.do(string(result.OutputFiles[0].Contents) + `
		globalThis.verify = verify
		// verdicts returns for each case why it is refused; '' if it is accepted.
		globalThis.verdicts = async (cases) => {
			const all = []
			for (const c of cases) {
				localStorage.clear()
				try {
					const reader = new verify.Reader(await verify.parsePolicy(c.policy))
					for (const p of c.before ?? []) await reader.verify(c.key, p.body, p.proof, c.now)
					if (c.proof) await reader.verify(c.key, c.body, c.proof, c.now)
					all.push('')
				} catch (e) {
					all.push(e.why ?? String(e))
				}
			}
			return all
		}
		0`)
	return b
}

// proofCase is a proof for a reader; without a proof, a policy alone.
type proofCase struct {
	Name   string      `json:"name"`
	Policy string      `json:"policy"`
	Key    string      `json:"key"`
	Body   *string     `json:"body"`
	Proof  string      `json:"proof"`
	Now    int64       `json:"now"` // milliseconds since 1970
	Before []proofCase `json:"before,omitempty"`
}

// verdict returns what a reader of Go says of a case.
func (c *proofCase) verdict() string {
	p, err := witness.ReadPolicy([]byte(c.Policy))
	r := witness.Reader{Policy: p}
	now := time.UnixMilli(c.Now)
	verify := func(p *proofCase) {
		var body []byte
		if p.Body != nil {
			body = []byte(*p.Body)
		}
		if err == nil && p.Proof != "" {
			_, _, err = r.Verify(c.Key, body, p.Proof, now)
		}
	}
	for i := range c.Before {
		verify(&c.Before[i])
	}
	verify(c)
	if _, ok := errors.AsType[*witness.ForkError](err); ok {
		return "fork"
	}
	for kind, name := range map[error]string{
		witness.ErrMalformed: "malformed", witness.ErrSignature: "signature", witness.ErrExpired: "expired",
		witness.ErrQuorum: "quorum", witness.ErrStale: "stale", witness.ErrFuture: "future", witness.ErrOlder: "older",
		witness.ErrAnswer: "answer",
	} {
		if errors.Is(err, kind) {
			return name
		}
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// pageVerdicts returns what the page says of cases.
func pageVerdicts(t *testing.T, b *tab, cases []proofCase) []string {
	t.Helper()
	text, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	return eval[[]string](b, "verdicts("+string(text)+")")
}

// compareVerdicts has the page judge cases, and compares that with the verdict of Go. The page
// looks sooner than Go for what is malformed.
func compareVerdicts(t *testing.T, b *tab, cases []proofCase) (accepted int) {
	t.Helper()
	for i, got := range pageVerdicts(t, b, cases) {
		want := cases[i].verdict()
		if got != want && (got != "malformed" || want == "") {
			t.Errorf("%s: the page says %q, Go %q", cases[i].Name, got, want)
		}
		if want == "" {
			accepted++
		}
	}
	return accepted
}

var someBodies = map[string]string{
	"medals/FR": `{"gold":1}` + "\n", "roster": "{}\n", "scores/a": `{"home":1}` + "\n",
	"scores/c/é 1": `{"home":3}` + "\n",
	"scores/e":     `{"home":5}` + "\n", "scores/\U0001F3C5": `{"home":6}` + "\n", "scores/\ufffd": `{"home":7}` + "\n",
}

const verifiedKey = "scores/c/é 1"

// certified returns a group that has certified some rounds, and the case of the newest one.
func certified(t testing.TB, rounds int) (*testwitness.Group, proofCase) {
	g := testwitness.New(t, "5f3a")
	for range rounds - 1 {
		g.Certify(map[string]string{"scores/a": "older", "scores/older": "older"})
	}
	g.Certify(map[string]string{"scores/older": ""})
	g.Certify(someBodies)
	return g, proofOf(t, g, verifiedKey)
}

// policyText returns the policy of a group as laurel policy prints it.
func policyText(t testing.TB, g *testwitness.Group) string {
	t.Helper()
	text, err := g.Policy.Sign(testwitness.Key(t, "getafix", 9))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// proofOf returns the case of what a group has now certified for a key.
func proofOf(t testing.TB, g *testwitness.Group, key string) proofCase {
	t.Helper()
	p, body, err := g.Proof(key)
	if err != nil {
		t.Fatal(err)
	}
	made := proofCase{Name: key, Policy: policyText(t, g), Key: key, Proof: p.String(), Now: certifiedAt(t, p.Note)}
	if body != nil {
		text := string(body)
		made.Body = &text
	}
	return made
}

// certifiedAt returns when a quorum had signed a certificate, in milliseconds since 1970. By its
// own clock a test that is held up would be a reader who comes too late.
func certifiedAt(t testing.TB, certificate []byte) int64 {
	t.Helper()
	var times []int64
	for line := range strings.Lines(string(certificate)) {
		name, signature, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "\u2014 "), " ")
		b, err := base64.StdEncoding.DecodeString(signature)
		if err == nil && strings.HasPrefix(name, "f") && len(b) > 12 {
			times = append(times, int64(binary.BigEndian.Uint64(b[4:])))
		}
	}
	if len(times) < 3 {
		t.Fatalf("%d frontends have signed\n%s", len(times), certificate)
	}
	slices.Sort(times)
	return 1000 * times[len(times)-3]
}

func TestThePageAcceptsEachAnswerAndEachAbsence(t *testing.T) {
	t.Parallel()
	b := verifier(t)
	var cases []proofCase
	for rounds := range 9 {
		g, _ := certified(t, rounds+1)
		for key := range someBodies {
			cases = append(cases, proofOf(t, g, key))
		}
		for _, key := range []string{"aaa", "medals", "scores/b", "scores/\uffff", "scores/\U0001F3C6", "zzz"} {
			cases = append(cases, proofOf(t, g, key))
		}
	}
	empty := testwitness.New(t, "5f3a")
	empty.Certify(nil)
	cases = append(cases, proofOf(t, empty, "scores/a"))
	if n := compareVerdicts(t, b, cases); n != len(cases) {
		t.Errorf("%d of %d are accepted", n, len(cases))
	}
}

func TestThePageRefusesWhatGoRefuses(t *testing.T) {
	t.Parallel()
	b := verifier(t)
	g, good := certified(t, 4)
	newer, _ := certified(t, 4)
	newer.Certify(nil)
	with := func(name string, change func(*proofCase)) proofCase {
		changed := good
		changed.Name = name
		change(&changed)
		return changed
	}
	replaced := func(old, with string) func(*proofCase) {
		return func(p *proofCase) {
			if !strings.Contains(p.Proof, old) {
				t.Errorf("the proof has no %q", old)
			}
			p.Proof = strings.Replace(p.Proof, old, with, 1)
		}
	}
	without := func(names ...string) func(*proofCase) {
		return func(p *proofCase) {
			for _, name := range names {
				line := p.Proof[strings.Index(p.Proof, "\u2014 "+name+" "):]
				p.Proof = strings.Replace(p.Proof, line[:strings.Index(line, "\n")+1], "", 1)
			}
		}
	}
	after := func(seen *testwitness.Group) func(*proofCase) {
		return func(p *proofCase) { p.Before = []proofCase{proofOf(t, seen, verifiedKey)} }
	}
	forked := testwitness.New(t, "5f3a")
	for range 5 {
		forked.Certify(map[string]string{verifiedKey: "another history"})
	}
	// clocked has frontends sign the certificate at a time by their own clocks, in seconds after now.
	clocked := func(later int64, frontends ...int) func(*proofCase) {
		return func(p *proofCase) {
			head, signed, _ := strings.Cut(p.Proof, "\n\n")
			checkpoint, _, _ := strings.Cut(signed, "\n\n")
			for _, i := range frontends {
				without(g.Policy.Frontends[i].Name)(p)
				p.Proof += cosign(t, g.Keys[i], byte(i+1), checkpoint+"\n", uint64(p.Now/1000+later))
			}
			if !strings.HasPrefix(p.Proof, head) {
				t.Error("the proof is torn")
			}
		}
	}
	cases := []proofCase{
		with("good", func(*proofCase) {}),
		with("one clock is ahead", clocked(3600, 3)),
		with("one clock is ahead, and the others stand", func(p *proofCase) { clocked(3600, 3)(p); clocked(-8, 0, 1, 2)(p) }),
		with("two clocks are ahead", clocked(3600, 2, 3)),
		with("three clocks are ahead", clocked(3600, 1, 2, 3)),
		with("one clock is behind", clocked(-3600, 0)),
		with("two clocks are behind", clocked(-3600, 0, 1)),
		with("a time that is too large", clocked(-1<<63, 0)),
		with("another body", func(p *proofCase) { body := *p.Body + " "; p.Body = &body }),
		with("no body", func(p *proofCase) { p.Body = nil }),
		with("another key", func(p *proofCase) { p.Key = "scores/a" }),
		with("a key that is not there", func(p *proofCase) { p.Key, p.Body = "scores/b", nil }),
		with("too old", func(p *proofCase) { p.Now += 7000 }),
		with("of the future", func(p *proofCase) { p.Now -= 7000 }),
		with("just fresh", func(p *proofCase) { p.Now += 4000 }),
		with("expired", func(p *proofCase) { p.Now += int64(2 * time.Hour / time.Millisecond) }),
		with("two frontends", without("f1", "f2")),
		with("three frontends", without("f1")),
		with("no log", without("laurel/5f3a")),
		with("the log alone", without("f1", "f2", "f3", "f4")),
		with("nobody", without("f1", "f2", "f3", "f4", "laurel/5f3a")),
		with("another store", func(p *proofCase) { p.Policy = policyText(t, testwitness.New(t, "5f3b")) }),
		with("a signature twice", func(p *proofCase) {
			without("f3", "f4")(p)
			line := p.Proof[strings.Index(p.Proof, "\u2014 f2 "):]
			p.Proof += line[:strings.Index(line, "\n")+1]
		}),
		with("carriage returns", func(p *proofCase) { p.Proof = strings.ReplaceAll(p.Proof, "\n", "\r\n") }),
		with("a longer header", replaced("v1\n", "v1 \n")),
		with("a number with 0", replaced("index 4", "index 04")),
		with("another index", replaced("index 4", "index 3")),
		with("no blank line", replaced("\n\n", "\n")),
		with("a line too many", replaced("\n\n", "\nx\n\n")),
		with("no base64", replaced("extra ", "extra !")),
		with("a line break in base64", replaced("extra ", "extra \n")),
		with("too large", func(p *proofCase) { p.Proof += strings.Repeat("x", witness.MaxProofSize) }),
		with("a large note", func(p *proofCase) { p.Proof += strings.Repeat("\u2014 x AAAAAAAA\n", 600) }),
		with("many signatures", func(p *proofCase) { p.Proof += strings.Repeat("\u2014 x AAAAAAAA\n", 101) }),
		with("others' signatures too", func(p *proofCase) { p.Proof += strings.Repeat("\u2014 x AAAAAAAA\n", 3) }),
		with("older than seen", after(newer)),
		with("a fork", after(forked)),
		with("an answer of before", func(p *proofCase) {
			shorter, _ := certified(t, 3)
			was, _, err := shorter.Proof(verifiedKey)
			now, _, errNow := g.Proof(verifiedKey)
			if err != nil || errNow != nil {
				t.Fatal(err, errNow)
			}
			was.Note = now.Note
			p.Proof = was.String()
		}),
	}
	if n := compareVerdicts(t, b, cases); n != 7 {
		t.Errorf("%d cases are accepted; want 7", n)
	}
}

// Whatever is altered in a proof or a policy, the page takes it only if Go does. In Go a
// signature has more than one spelling.
func TestThePageTakesNoAlteredProofThatGoRefuses(t *testing.T) {
	t.Parallel()
	b := verifier(t)
	_, good := certified(t, 4)
	random := rand.New(rand.NewPCG(18, 6))
	var cases []proofCase
	alter := func(text string, i int) string {
		switch random.IntN(4) {
		case 0:
			return text[:i] + text[i+1:]
		case 1:
			return text[:i] + "A" + text[i:]
		}
		return text[:i] + string("Ag= \n+0f#"[random.IntN(9)]) + text[i+1:]
	}
	for i := range good.Proof {
		if good.Proof[i] >= 0x80 || random.IntN(2) == 0 {
			continue
		}
		altered := good
		altered.Name, altered.Proof = fmt.Sprint("byte ", i), alter(good.Proof, i)
		cases = append(cases, altered)
	}
	for i := range strings.LastIndex(good.Policy, "# \u2014") {
		altered := good
		altered.Name, altered.Policy, altered.Proof = fmt.Sprint("byte of the policy ", i), alter(good.Policy, i), ""
		cases = append(cases, altered)
	}
	accepted := 0
	for i, got := range pageVerdicts(t, b, cases) {
		if got == "" {
			accepted++
			if want := cases[i].verdict(); want != "" {
				t.Errorf("%s: the page accepts it, Go says %q", cases[i].Name, want)
			}
		}
	}
	if accepted > len(cases)/20 {
		t.Errorf("%d of %d altered texts are accepted", accepted, len(cases))
	}
}

func TestThePageTakesPoliciesOfAnySafeNumberOfFrontends(t *testing.T) {
	t.Parallel()
	b := verifier(t)
	g := testwitness.New(t, "5f3a")
	text := policyText(t, g)
	var cases []proofCase
	for n := 1; n <= 4; n++ {
		for quorum := range n + 2 {
			p := *testwitness.New(t, "5f3a").Policy
			p.Frontends, p.Quorum = p.Frontends[:n], quorum
			if signed, err := p.Sign(testwitness.Key(t, "getafix", 9)); err == nil {
				cases = append(cases, proofCase{Name: fmt.Sprint(quorum, " of ", n), Policy: string(signed)})
			}
		}
	}
	for name, change := range map[string]func(*witness.Policy){
		"a name twice": func(p *witness.Policy) { p.Frontends[1].Name = "f1" },
		"a key twice":  func(p *witness.Policy) { p.Frontends[1].Public = p.Frontends[0].Public },
		"that name":    func(p *witness.Policy) { p.Frontends[1].Name = "laurel" },
		"a short key":  func(p *witness.Policy) { p.Frontends[1].Public = p.Frontends[1].Public[:31] },
	} {
		p := *testwitness.New(t, "5f3a").Policy
		change(&p)
		cases = append(cases, proofCase{Name: name, Policy: p.String() + "# \u2014 x y\n"})
	}
	until := g.Policy.Until.UTC().Format(time.RFC3339)
	for _, change := range [][2]string{
		{until, "2027-02-30T12:00:00Z"}, {until, "2027-02-20T24:00:00Z"}, {until, "2027-02-20T12:00:00+00:00"},
		{"laurel 3", "laurel 2"}, {"laurel 3", "laurel 5"}, {"laurel 3", "laurel 03"}, {"version 1", "version 01"},
		{"f1 f2", "f2 f1"}, {"store 5f3a", "store 5f+a"}, {"quorum laurel", "quorum any"}, {"until 20", "until 99"},
	} {
		cases = append(cases, proofCase{Name: change[1], Policy: strings.Replace(text, change[0], change[1], 1)})
	}
	if n := compareVerdicts(t, b, cases); n == 0 || n == len(cases) {
		t.Errorf("%d of %d policies are accepted", n, len(cases))
	}
}
