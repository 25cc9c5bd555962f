package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/go-json-experiment/json"

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

// compareVerdicts has the page judge cases, and compares that with the verdict of Go. The page
// looks sooner than Go for what is malformed.
func compareVerdicts(t *testing.T, b *tab, cases []proofCase) (accepted int) {
	t.Helper()
	text, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range eval[[]string](b, "verdicts("+string(text)+")") {
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
	"medals/FR": `{"gold":1}` + "\n", "roster": "{}\n", "scores/a": `{"home":1}` + "\n", "scores/c/é 1": `{"home":3}` + "\n",
	"scores/e": `{"home":5}` + "\n", "scores/\U0001F3C5": `{"home":6}` + "\n", "scores/\ufffd": `{"home":7}` + "\n",
}

const verifiedKey = "scores/c/é 1"

// certified returns certificates of some rounds, and the case of the newest one.
func certified(t testing.TB, rounds int) (*certificates, proofCase) {
	c := newCertificates(t, "5f3a")
	now := time.Now()
	for i := range rounds {
		now = now.Add(time.Second)
		bodies := someBodies
		if i+1 < rounds {
			bodies = map[string]string{"scores/a": "older"}
		}
		c.seal(bodies, now)
	}
	return c, c.proofOf(verifiedKey, now)
}

func (c *certificates) proofOf(key string, now time.Time) proofCase {
	body, ok, p := c.prove(key)
	made := proofCase{Name: key, Policy: c.policyText(), Key: key, Proof: p.String(), Now: now.UnixMilli()}
	if ok {
		made.Body = &body
	}
	return made
}

func TestThePageAcceptsEachAnswerAndEachAbsence(t *testing.T) {
	t.Parallel()
	b := verifier(t)
	var cases []proofCase
	for rounds := range 9 {
		c, last := certified(t, rounds+1)
		for key := range someBodies {
			cases = append(cases, c.proofOf(key, time.UnixMilli(last.Now)))
		}
		for _, key := range []string{"aaa", "medals", "scores/b", "scores/\uffff", "scores/\U0001F3C6", "zzz"} {
			cases = append(cases, c.proofOf(key, time.UnixMilli(last.Now)))
		}
	}
	empty := newCertificates(t, "5f3a")
	empty.seal(nil, time.Now())
	cases = append(cases, empty.proofOf("scores/a", time.Now()))
	if n := compareVerdicts(t, b, cases); n != len(cases) {
		t.Errorf("%d of %d are accepted", n, len(cases))
	}
}

func TestThePageRefusesWhatGoRefuses(t *testing.T) {
	t.Parallel()
	b := verifier(t)
	c, good := certified(t, 5)
	other, contrary := certified(t, 5)
	other.seal(someBodies, time.UnixMilli(contrary.Now))
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
	forked := newCertificates(t, "5f3a")
	for i := range 5 {
		forked.seal(map[string]string{verifiedKey: "another history"}, time.UnixMilli(good.Now-int64(4-i)*1000))
	}
	cases := []proofCase{
		with("good", func(*proofCase) {}),
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
		with("another store", func(p *proofCase) { p.Policy = newCertificates(t, "5f3b").policyText() }),
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
		with("older than seen", func(p *proofCase) { p.Before = []proofCase{other.proofOf(verifiedKey, time.UnixMilli(p.Now))} }),
		with("a fork", func(p *proofCase) { p.Before = []proofCase{forked.proofOf(verifiedKey, time.UnixMilli(p.Now))} }),
		with("an answer of before", func(p *proofCase) {
			old, _ := certified(t, 4)
			_, _, was := old.prove(verifiedKey)
			_, _, now := c.prove(verifiedKey)
			was.Note = now.Note
			p.Proof = was.String()
		}),
	}
	if n := compareVerdicts(t, b, cases); n != 4 {
		t.Errorf("%d cases are accepted; want 4", n)
	}
}

// Whatever is altered in a proof or a policy, the page takes it only if Go does.
func TestThePageTakesNoAlteredProofThatGoRefuses(t *testing.T) {
	t.Parallel()
	b := verifier(t)
	_, good := certified(t, 5)
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
	t.Logf("%d of %d altered texts are accepted", compareVerdicts(t, b, cases), len(cases))
}

func TestThePageTakesPoliciesOfAnySafeNumberOfFrontends(t *testing.T) {
	t.Parallel()
	b := verifier(t)
	c := newCertificates(t, "5f3a")
	text := c.policyText()
	var cases []proofCase
	for n := 1; n <= 4; n++ {
		for quorum := range n + 2 {
			c.policy.Frontends, c.policy.Quorum = c.policy.Frontends[:min(n, len(c.policy.Frontends))], quorum
			if signed, err := c.policy.Sign(c.operator); err == nil {
				cases = append(cases, proofCase{Name: fmt.Sprint(quorum, " of ", n), Policy: string(signed)})
			}
		}
		c = newCertificates(t, "5f3a")
	}
	for _, change := range [][2]string{
		{"laurel 3", "laurel 2"}, {"laurel 3", "laurel 5"}, {"laurel 3", "laurel 03"}, {"version 1", "version 01"},
		{"f1 f2", "f2 f1"}, {"store 5f3a", "store 5f+a"}, {"quorum laurel", "quorum any"}, {"until 20", "until 99"},
	} {
		cases = append(cases, proofCase{Name: change[1], Policy: strings.Replace(text, change[0], change[1], 1)})
	}
	if n := compareVerdicts(t, b, cases); n == 0 || n == len(cases) {
		t.Errorf("%d of %d policies are accepted", n, len(cases))
	}
}
