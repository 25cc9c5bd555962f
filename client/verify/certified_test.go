package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/client"
	"laurel/internal/testwitness"
	"laurel/score"
	"laurel/witness"
)

// certifying is four frontends of a group, each of which may lie about what is certified.
type certifying struct {
	*testwitness.Group
	urls  []string
	lies  [4]atomic.Pointer[standIn] // nil: honest
	asked [4]atomic.Int64
}

// standIn answers in place of a frontend. It reports whether it has answered.
type standIn func(http.ResponseWriter, *http.Request) bool

const path, key = "/v1/scores/OG50BC/CUR", "scores/OG50BC/CUR"

var truth = map[string]string{
	key: "{\"n\":1}\n", "scores/OG50BC/ATH": "{\"n\":7}\n", "medals/OG50BC": "{\"rows\":[]}\n", "roster": "{}\n",
}

func newCertifying(t *testing.T) *certifying {
	t.Helper()
	g := &certifying{Group: testwitness.New(t, "gaul")}
	for i := range g.lies {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			g.asked[i].Add(1)
			if tell := g.lies[i].Load(); tell == nil || !(*tell)(w, r) {
				g.ServeHTTP(w, r)
			}
		}))
		t.Cleanup(func() {
			s.CloseClientConnections()
			s.Close()
		})
		g.urls = append(g.urls, s.URL)
	}
	g.Certify(truth)
	return g
}

// lie has a frontend lie from now on. A request of an earlier read may still come after that.
func (g *certifying) lie(i int, tell standIn) { g.lies[i].Store(&tell) }

func (g *certifying) beHonest() {
	for i := range g.lies {
		g.lies[i].Store(nil)
	}
}

func (g *certifying) certified(t *testing.T, file string) *Certified {
	t.Helper()
	c := patientClient(t, g.urls)
	r := NewCertified(c, g.Policy, file)
	r.Timeout = patience
	return r
}

// getRefused reads until each frontend's answer has been refused: one is asked again then. Of
// an earlier read each may have got a request that it counts only now.
func (g *certifying) getRefused(t *testing.T, r *Certified) error {
	t.Helper()
	var before [4]int64
	for i := range before {
		before[i] = g.asked[i].Load()
	}
	ctx := endsWhen(t, func() bool {
		return slices.ContainsFunc([]int{0, 1, 2, 3}, func(i int) bool { return g.asked[i].Load() > before[i]+2 })
	})
	_, err := r.Get(ctx, path, nil)
	return err
}

// proof returns what the frontends prove of a key now.
func (g *certifying) proof(t *testing.T, key string) (*witness.Proof, *string) {
	t.Helper()
	p, body, err := g.Proof(key)
	if err != nil {
		t.Fatal(err)
	}
	if body == nil {
		return p, nil
	}
	text := string(body)
	return p, &text
}

func answer(body *string, proof string) standIn {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		return json.MarshalWrite(w, &witness.Proven{Answer: body, Proof: proof}) == nil
	}
}

// answers is answer with a proof that is made when it is asked for, under a fresh certificate.
func answers(give func() (body *string, proof string)) standIn {
	return func(w http.ResponseWriter, r *http.Request) bool { return answer(give())(w, r) }
}

func responds(status int, body string) standIn {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		_, err := w.Write([]byte(body))
		return err == nil
	}
}

func TestACertifiedAnswerIsPassedOnByAnyFrontend(t *testing.T) {
	g := newCertifying(t)
	for i := range g.urls {
		g.beHonest()
		for j := range g.lies {
			if j != i {
				g.lie(j, responds(503, `{"code":"not_ready","status":503,"detail":"not yet"}`))
			}
		}
		before := time.Now().Add(-2 * time.Second)
		a, err := g.certified(t, "").Get(t.Context(), path, nil)
		if err != nil || string(a.Body) != truth[key] || a.URL != g.urls[i] || a.Round.Number != 1 ||
			strings.Join(a.Frontends, " ") != "f1 f2 f3 f4" || a.At.Before(before) || a.At.After(time.Now()) {
			t.Errorf("by f%d: %+v, %v", i+1, a, err)
		}
	}
}

// lie is what a frontend, or who sits before it, may answer with.
type lie struct {
	tell standIn
	want error // why it is refused
}

// collect certifies a second round, and returns a lie of each kind about the key for a reader
// that has seen that round.
func (g *certifying) collect(t *testing.T) map[string]lie {
	t.Helper()
	other := testwitness.New(t, "rome")
	other.Certify(truth)
	foreign, foreignBody := (&certifying{Group: other}).proof(t, key)
	old, oldBody := g.proof(t, key)
	g.Certify(map[string]string{key: "{\"n\":2}\n"})
	_, body := g.proof(t, key)
	// changed is the good proof as of when it is asked for, but for a change.
	changed := func(body *string, change func(p *witness.Proof)) func(http.ResponseWriter, *http.Request) bool {
		return answers(func() (*string, string) {
			p, _ := g.proof(t, key)
			p.Leaves = slices.Clone(p.Leaves)
			change(p)
			return body, p.String()
		})
	}
	good := func(body *string) func(http.ResponseWriter, *http.Request) bool {
		return changed(body, func(*witness.Proof) {})
	}
	// of is what is true of another key.
	of := func(key string) func(http.ResponseWriter, *http.Request) bool {
		return answers(func() (*string, string) {
			p, body := g.proof(t, key)
			return body, p.String()
		})
	}
	altered := "{\"n\":9}\n"
	spaced := strings.TrimSuffix(*body, "\n")
	invalid := func(tell func(http.ResponseWriter, *http.Request) bool) lie { return lie{tell, ErrInvalid} }
	return map[string]lie{
		"an altered body":          {good(&altered), witness.ErrAnswer},
		"a body without its end":   {good(&spaced), witness.ErrAnswer},
		"no body":                  {good(nil), witness.ErrAnswer},
		"another contest's answer": {of("scores/OG50BC/ATH"), witness.ErrAnswer},
		"another contest's proof": {answers(func() (*string, string) {
			p, _ := g.proof(t, "scores/OG50BC/ATH")
			return body, p.String()
		}), witness.ErrAnswer},
		"an old proof":               {answer(oldBody, old.String()), witness.ErrOlder},
		"an old note":                {changed(body, func(p *witness.Proof) { p.Note = old.Note }), witness.ErrOlder},
		"an old round, the new note": {changed(oldBody, func(p *witness.Proof) { p.Round, p.Leaves = old.Round, old.Leaves }), witness.ErrAnswer},
		"neighbours of another key":  {of("scores/OG50BC/CUR-M"), witness.ErrAnswer},
		"no neighbours":              {changed(nil, func(p *witness.Proof) { p.Leaves = nil }), witness.ErrAnswer},
		"a cut path to the answer":   {changed(body, func(p *witness.Proof) { p.Leaves[0].Path = p.Leaves[0].Path[1:] }), witness.ErrAnswer},
		"a cut path to the round":    {changed(body, func(p *witness.Proof) { p.Path = nil }), witness.ErrAnswer},
		"a cut certificate":          {changed(body, func(p *witness.Proof) { p.Note = p.Note[:len(p.Note)/2] }), witness.ErrSignature},
		"another store":              {answer(foreignBody, foreign.String()), witness.ErrMalformed},
		"a huge proof": {answers(func() (*string, string) {
			p, _ := g.proof(t, key)
			return body, p.String() + strings.Repeat("x", 1<<20)
		}), witness.ErrMalformed},
		"no proof":                    {answer(body, ""), witness.ErrMalformed},
		"nothing":                     {answer(nil, ""), witness.ErrMalformed},
		"no JSON":                     invalid(responds(200, "<html>")),
		"an answer that is no text":   invalid(responds(200, `{"answer":{"n":9},"proof":""}`)),
		"two answers":                 invalid(responds(200, `{"answer":"a","answer":"b","proof":""}`)),
		"half an answer":              invalid(responds(200, `{"answer":"a","pro`)),
		"that there is none":          {responds(404, `{"code":"not_found","status":404,"detail":"no"}`), &score.Problem{}},
		"that the group is not sworn": {responds(404, `{"code":"not_found","status":404,"detail":"the group is not sworn"}`), &score.Problem{}},
	}
}

func TestNoLieOfAFrontendIsAcceptedAndTheNextIsAsked(t *testing.T) {
	g := newCertifying(t)
	for name, l := range g.collect(t) {
		judged := 0
		for _, liars := range [][]int{{0}, {3}, {0, 2}, {1, 2}, {0, 1, 3}} {
			g.beHonest()
			r := g.certified(t, "")
			if _, err := r.Get(t.Context(), "/v1/roster", nil); err != nil { // has seen the second round
				t.Fatal(err)
			}
			for _, i := range liars {
				g.lie(i, l.tell)
			}
			r.last = g.urls[liars[0]] // is asked first
			a, err := r.Get(t.Context(), path, nil)
			if err != nil || string(a.Body) != "{\"n\":2}\n" || a.Round.Number != 2 {
				t.Errorf("%s by %v: %+v, %v", name, liars, a, err)
				continue
			}
			named := map[string]error{}
			for _, o := range a.Objectors {
				named[o.URL] = o.Err
				late := errors.Is(o.Err, witness.ErrStale) // this process was held up before it judged the answer
				if i := slices.Index(g.urls, o.URL); !slices.Contains(liars, i) && !late {
					t.Errorf("%s by %v: it names f%d, which is honest: %v", name, liars, i+1, o.Err)
				}
			}
			err = named[g.urls[liars[0]]]
			if err == nil || errors.Is(err, witness.ErrStale) {
				continue // on a busy machine it had not answered yet, or was judged late
			}
			judged++
			if _, ok := errors.AsType[*score.Problem](l.want); ok && errors.As(err, new(*score.Problem)) {
				continue
			}
			if !errors.Is(err, l.want) {
				t.Errorf("%s by %v: refused because of %v; want %v", name, liars, err, l.want)
			}
		}
		if judged == 0 {
			t.Errorf("%s was never judged", name)
		}
	}
}

func TestOneFrontendsClockMakesNoOldCertificateNew(t *testing.T) {
	g := newCertifying(t)
	old := testwitness.New(t, "gaul")
	old.SkewClocks(-time.Minute)
	old.Certify(truth)
	p, body := (&certifying{Group: old}).proof(t, key)
	for what, at := range map[string]time.Time{"now": time.Now(), "ahead": time.Now().Add(time.Hour)} {
		p.Note = old.Cosign(3, p.Note, at)
		for i := range g.lies {
			g.lie(i, answer(body, p.String()))
		}
		err := g.getRefused(t, g.certified(t, ""))
		none, ok := errors.AsType[*UnverifiedError](err)
		if !ok || len(none.Objectors) != 4 {
			t.Fatalf("%s: %v", what, err)
		}
		for _, o := range none.Objectors {
			if !errors.Is(o.Err, witness.ErrStale) {
				t.Errorf("%s: %v", what, o)
			}
		}
	}
}

func TestWhatIsCertifiedInTheFutureIsNotAccepted(t *testing.T) {
	g := newCertifying(t)
	g.SkewClocks(time.Minute)
	err := g.getRefused(t, g.certified(t, ""))
	if none, ok := errors.AsType[*UnverifiedError](err); !ok || !errors.Is(none.Objectors[0].Err, witness.ErrFuture) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsProvenNotToBeThereIsAProblem(t *testing.T) {
	g := newCertifying(t)
	a, err := g.certified(t, "").Get(t.Context(), "/v1/scores/OG50BC/NO", nil)
	if score.CodeOf(err) != score.NotFound || a == nil || a.Body != nil || a.Round.Number != 1 || len(a.Frontends) != 4 {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestListsAndRanksAreNotCertified(t *testing.T) {
	g := newCertifying(t)
	r := g.certified(t, "")
	for _, path := range []string{
		client.ScorePath(""), client.LeaderboardPath("OG50BC/ATH"), "/v1/medals/OG50BC/GAU", "/v1/timeline/OG50BC/CUR", "/v1/scores/a/../b",
		"/v1/cluster", "/v1/", "/x", "/v1/scores/%zz", "/v1/scores/a?limit=1",
	} {
		if _, err := r.Get(t.Context(), path, nil); !errors.Is(err, ErrNotCertified) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := r.Get(t.Context(), path, map[string][]string{"limit": {"1"}}); !errors.Is(err, ErrNotCertified) {
		t.Errorf("with a parameter: %v", err)
	}
	if n := g.asked[0].Load() + g.asked[1].Load(); n > 0 {
		t.Error("frontends were asked all the same")
	}
}

func TestKeysAreThoseOfTheServer(t *testing.T) {
	for path, want := range map[string]string{
		client.ScorePath("OG50BC/CUR"):  key,
		client.MedalsPath("OG50BC", ""): "medals/OG50BC", "/v1/bards/bard/cacofonix": "bards/bard/cacofonix",
		"/v1/roster": "roster", "/v1/keys": "keys",
	} {
		if got, err := Key(path, nil); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestAFrontendThatHangsIsNotWaitedFor(t *testing.T) {
	g := newCertifying(t)
	for i := range 3 {
		g.lie(i, func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		})
	}
	a, err := g.certified(t, "").Get(t.Context(), path, nil)
	if err != nil || a.URL != g.urls[3] {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestAReaderWaitsUntilThereIsACertificate(t *testing.T) {
	g := newCertifying(t)
	none := responds(503, `{"code":"not_ready","status":503,"detail":"not yet"}`)
	for i := range g.lies {
		var times atomic.Int64
		g.lie(i, func(w http.ResponseWriter, r *http.Request) bool {
			return times.Add(1) < 3 && none(w, r)
		})
	}
	if a, err := g.certified(t, "").Get(t.Context(), path, nil); err != nil || string(a.Body) != truth[key] {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestAForkIsShownWithBothNotes(t *testing.T) {
	g := newCertifying(t)
	file := filepath.Join(t.TempDir(), "gaul.seen")
	if _, err := g.certified(t, file).Get(t.Context(), path, nil); err != nil {
		t.Fatal(err)
	}
	other := testwitness.New(t, "gaul")
	other.Certify(map[string]string{key: "{\"n\":3}\n"})
	p, body := (&certifying{Group: other}).proof(t, key)
	for i := range g.lies {
		g.lie(i, answer(body, p.String()))
	}
	a, err := g.certified(t, file).Get(t.Context(), path, nil) // by another process
	fork, ok := errors.AsType[*witness.ForkError](err)
	if !ok || a != nil {
		t.Fatalf("got %+v, %v", a, err)
	}
	if names, err := witness.Evidence(g.Policy, fork.Seen, fork.Other); err != nil || len(names) != 4 {
		t.Errorf("the notes convict %q: %v", names, err)
	}
	notes := witness.SplitNotes(witness.JoinNotes(fork.Seen, fork.Other))
	if len(notes) != 2 || !bytes.Equal(notes[0], fork.Seen) || !bytes.Equal(notes[1], fork.Other) {
		t.Errorf("a file with the notes is read as %q", notes)
	}
	if kept, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, fork.Seen) {
		t.Errorf("the file has\n%s", kept)
	}
}

func TestNoReaderGoesBackBehindWhatAnotherProgramHasSeen(t *testing.T) {
	g := newCertifying(t)
	file := filepath.Join(t.TempDir(), "deep", "gaul.seen")
	old, body := g.proof(t, key)
	before := g.certified(t, file)
	if _, err := before.Get(t.Context(), path, nil); err != nil {
		t.Fatal(err)
	}
	g.Certify(map[string]string{key: "{\"n\":2}\n"})
	if _, err := g.certified(t, file).Get(t.Context(), path, nil); err != nil {
		t.Fatal(err)
	}
	for i := range g.lies {
		g.lie(i, answer(body, old.String()))
	}
	for what, r := range map[string]*Certified{"the reader that was there before": before, "a new one": g.certified(t, file)} {
		err := g.getRefused(t, r)
		if none, ok := errors.AsType[*UnverifiedError](err); !ok || !errors.Is(none.Objectors[0].Err, witness.ErrOlder) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Of many at once, none forgets what another has seen.
func TestManyReadersRememberTheNewestCertificate(t *testing.T) {
	g := newCertifying(t)
	file := filepath.Join(t.TempDir(), "gaul.seen")
	var readers sync.WaitGroup
	for range 8 {
		r := g.certified(t, file)
		readers.Go(func() {
			for range 20 {
				if _, err := r.Get(t.Context(), path, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 40 {
		g.Certify(map[string]string{key: fmt.Sprint(i)})
	}
	readers.Wait()
	if _, err := g.certified(t, file).Get(t.Context(), path, nil); err != nil {
		t.Fatal(err)
	}
	note, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if head, _, err := witness.Signers(g.Policy, note); err != nil || head.Size != 41 {
		t.Errorf("the file has round %d, %v; want 41", head.Size, err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); err != nil || len(left) > 0 {
		t.Errorf("files are left: %q, %v", left, err)
	}
}

// A program that was stopped while it had the lock may go on any time, so nothing may be
// accepted meanwhile; and nobody may wait for it forever.
func TestAReadEndsWithAnErrorWhileAnotherProgramKeepsTheLock(t *testing.T) {
	g := newCertifying(t)
	file := filepath.Join(t.TempDir(), "gaul.seen")
	unlock, err := lockFile(t.Context(), file+".lock")
	if err != nil {
		t.Fatal(err)
	}
	p, body := g.proof(t, key)
	good, err := json.Marshal(&witness.Proven{Answer: body, Proof: p.String()})
	if err != nil {
		t.Fatal(err)
	}
	r := g.certified(t, file)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var reads sync.WaitGroup
	for range 3 {
		reads.Go(func() {
			s := &search{reader: r, key: key, refused: map[string]error{}}
			a, err := s.judge(ctx, heardOf("http://f1", 200, good))
			if a != nil || err != nil || !errors.Is(s.refused["http://f1"], context.DeadlineExceeded) {
				t.Errorf("got %v, %v; refused: %v", a, err, s.refused)
			}
		})
	}
	reads.Wait()
	if _, err := lockFile(ctx, file+".lock"); err == nil || !strings.Contains(err.Error(), file+".lock") {
		t.Errorf("the error does not name the file: %v", err)
	}
	unlock()
	if a, err := r.Get(t.Context(), path, nil); err != nil || string(a.Body) != truth[key] {
		t.Errorf("when the lock is free: %+v, %v", a, err)
	}
}

func TestTheEndOfAReadDoesNotHideWhyAnAnswerWasRefused(t *testing.T) {
	g := testwitness.New(t, "gaul")
	g.Certify(truth)
	p, body := (&certifying{Group: g}).proof(t, key)
	good, err := json.Marshal(&witness.Proven{Answer: body, Proof: p.String()})
	if err != nil {
		t.Fatal(err)
	}
	r := &Certified{policy: g.Policy, seen: newSeen("", g.Policy)}
	r.seen.turn <- struct{}{} // as another read of this program does
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &search{reader: r, key: key, refused: map[string]error{"http://f1": witness.ErrOlder}}
	for _, answered := range []given{heardOf("http://f1", 200, good), {url: "http://f1", err: ctx.Err()}} {
		a, err := s.judge(ctx, answered)
		if a != nil || err != nil || s.refused["http://f1"] != witness.ErrOlder {
			t.Errorf("got %v, %v; refused: %v", a, err, s.refused)
		}
	}
}

func TestAFileThatIsDamagedStopsTheReader(t *testing.T) {
	g := newCertifying(t)
	file := filepath.Join(t.TempDir(), "gaul.seen")
	for text, ok := range map[string]bool{"": true, "laurel/rome\n": false, "x": false} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.certified(t, file).Get(t.Context(), path, nil); (err == nil) != ok || !ok && !strings.Contains(err.Error(), file) {
			t.Errorf("with %q: %v", text, err)
		}
	}
}

func TestAnExpiredPolicyAsksNobody(t *testing.T) {
	g := newCertifying(t)
	g.Policy.Until = time.Now().Add(-time.Second)
	if _, err := g.certified(t, "").Get(t.Context(), path, nil); !errors.Is(err, witness.ErrExpired) {
		t.Errorf("got %v", err)
	}
	if g.asked[0].Load()+g.asked[1].Load()+g.asked[2].Load()+g.asked[3].Load() > 0 {
		t.Error("frontends were asked all the same")
	}
}

// Whatever a frontend answers, a reader accepts only what is certified.
func FuzzCertifiedAnswer(f *testing.F) {
	g := testwitness.New(f, "gaul")
	g.Certify(truth)
	p, body, err := g.Proof(key)
	if err != nil {
		f.Fatal(err)
	}
	text := string(body)
	good, err := json.Marshal(&witness.Proven{Answer: &text, Proof: p.String()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, good)
	f.Add(404, []byte(`{"code":"not_found","status":404}`))
	f.Add(200, []byte(`{"answer":null,"proof":"c2sp.org/tlog-proof@v1\n"}`))
	f.Fuzz(func(t *testing.T, status int, answered []byte) {
		r := &Certified{policy: g.Policy, seen: newSeen("", g.Policy)}
		s := &search{reader: r, key: key, refused: map[string]error{}}
		a, err := s.judge(t.Context(), heardOf("http://liar", status, answered))
		switch {
		case err != nil:
			t.Errorf("%d %q ends the search: %v", status, answered, err)
		case a != nil && (string(a.Body) != truth[key] || status != 200):
			t.Errorf("%d %q is taken as %q", status, answered, a.Body)
		case a == nil && len(s.refused) != 1:
			t.Errorf("%d %q is not noted", status, answered)
		}
	})
}
