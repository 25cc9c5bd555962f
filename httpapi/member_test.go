package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/admin"
	"laurel/httpapi/posts"
	"laurel/httpapi/snapshots"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
	"laurel/trust/signing"
	"laurel/witness"
)

// testMember is a member of a group without Raft. It reads from a real state machine; what it is
// posted it only records. A test sets how it fails before it is used.
type testMember struct {
	id        string
	elsewhere atomic.Bool  // another frontend is the master, and the only one with a lease
	unleased  atomic.Bool  // this frontend has no lease, though it is the master
	keeps     bool         // answers stay in memory
	mode      atomic.Value // score.CacheMode, by default push
	post      func(score.Post) ([]score.Result, error)
	read      func(context.Context) error // called by Answer, unless nil
	pull      func(key string) (e *cache.Entry, how string, age time.Duration, err error)
	waits     func(context.Context) error // called by Pull, unless nil
	age       time.Duration               // of the state of this frontend
	unknown   bool                        // the age is unknown
	forward   func(w http.ResponseWriter, r *http.Request) error
	// forwardedFor is the member for which a request was last forwarded.
	forwardedFor string
	ready        error // the reads
	voteless     error
	store        *testStore
	lease        *cache.LeaseCheck // of what Find and BoardNow return; nil: all is visible
	board        func()            // called by Board, unless nil
	witness      *witness.Key      // nil: the group is not sworn

	mu      sync.Mutex
	feed    *cache.Invalidations
	posted  []score.Event
	posts   int
	members []string // changes of the membership and the settings
	kept    map[string]*cache.Entry
}

func (g *testMember) ID() string   { return g.id }
func (g *testMember) Master() bool { return !g.elsewhere.Load() }

func (g *testMember) Post(ctx context.Context, p score.Post) ([]score.Result, error) {
	if g.post != nil {
		return g.post(p)
	}
	return g.apply(p)
}

// apply accepts events. It refuses one whose comment is "refuse", and with it the whole post or, unless
// the post is all or none, the events that follow.
func (g *testMember) apply(p score.Post) ([]score.Result, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.posts++
	var results []score.Result
	before := len(g.posted)
	for i, e := range p.Events {
		if a, ok := e.Data.(*score.Alert); ok && a.Comment == "refuse" {
			problem := score.Problemf(score.StatusConflict, "no")
			problem.ID = e.ID
			refused := score.Result{ID: e.ID, Problem: problem}
			if p.Mode == score.AllOrNone {
				problem.Index = &i
				g.posted = g.posted[:before]
				return []score.Result{refused}, nil
			}
			return append(results, refused), nil
		}
		g.posted = append(g.posted, e)
		results = append(results, score.Result{ID: e.ID, Seq: uint64(len(g.posted)), Revision: uint64(len(g.posted)),
			Status: score.Applied})
	}
	return results, nil
}

func (g *testMember) events() []score.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.posted)
}

func (g *testMember) leased() bool {
	return !g.elsewhere.Load() && !g.unleased.Load() && g.CacheMode() != score.Pull
}

func (g *testMember) Leased() bool { return g.leased() }

func (g *testMember) Find(key []byte) (*cache.Entry, cache.LeaseCheck) {
	if !g.leased() {
		return nil, cache.LeaseCheck{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.kept[string(key)], g.leaseCheck()
}

// allVisible is a lease under which every revision is visible.
var allVisible, _ = leaseCheck(1 << 60)

func (g *testMember) leaseCheck() cache.LeaseCheck {
	if g.lease != nil {
		return *g.lease
	}
	return allVisible
}

// leaseCheck returns the check of a lease under which revisions up to the given one are
// visible, and the stream that can release more.
func leaseCheck(released uint64) (cache.LeaseCheck, *cache.Link) {
	f := cache.NewFrontend(1<<20, func() time.Duration { return time.Hour }, 0)
	l := f.Open(false)
	for _, m := range []cache.Message{&cache.Hello{Epoch: 1, Lease: time.Hour, Master: "m"},
		&cache.Start{At: released, Released: released}, &cache.Grant{At: time.Hour, Remaining: time.Hour}} {
		if _, err := l.Receive(m, 1); err != nil {
			panic(err)
		}
	}
	lease, ok := f.CheckLease()
	if !ok {
		panic("no lease")
	}
	return lease, l
}

func (g *testMember) Answer(ctx context.Context, key, tag string, ask queries.Ask) (*cache.Entry, string, error) {
	if !g.leased() {
		return nil, "", cache.ErrNotLeased
	}
	if g.read != nil {
		if err := g.read(ctx); err != nil {
			return nil, "", err
		}
	}
	var body []byte
	var revision uint64
	if err := g.store.view(func(v queries.View) (err error) {
		body, revision, err = ask(v)
		return err
	}); err != nil {
		return nil, "", err
	}
	e := &cache.Entry{Body: body, Revision: revision}
	if g.keeps {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.kept == nil {
			g.kept = map[string]*cache.Entry{}
		}
		g.kept[key] = e
	}
	return e, cache.Load, nil
}

func (g *testMember) Pull(ctx context.Context, key string) (*cache.Entry, string, time.Duration, error) {
	if g.waits != nil {
		if err := g.waits(ctx); err != nil {
			return nil, "", 0, err
		}
	}
	return g.pull(key)
}

func (g *testMember) Stale(f func(queries.View) error) (time.Duration, bool, error) {
	return g.age, !g.unknown, g.store.view(f)
}

func (g *testMember) AppliedRevision() uint64 { return g.store.Revision() }

func (g *testMember) AwaitApplied(ctx context.Context, revision uint64) error {
	return g.store.Await(ctx, revision)
}

func (g *testMember) Vouch(q *witness.Question, s *witness.Statement) error {
	if g.witness == nil {
		return score.Problemf(score.NotFound, "the group is not sworn")
	}
	s.Store = "gaul"
	return g.witness.Vouch(q, s)
}

func (g *testMember) CacheMode() score.CacheMode {
	mode, _ := g.mode.Load().(score.CacheMode)
	return cmp.Or(mode, score.Push)
}

func (g *testMember) Forward(w http.ResponseWriter, r *http.Request, member string) error {
	g.forwardedFor = member
	if g.forward == nil {
		return score.Problemf(score.NoMaster, "there is none")
	}
	return g.forward(w, r)
}

func (g *testMember) Incarnation() string { return "fake" }
func (g *testMember) Former() []string    { return nil }

func (g *testMember) ChangedSince(_ context.Context, revision, _ uint64) (keys []string, known bool, err error) {
	contests, tables, known := g.store.ChangedSince(revision)
	for _, id := range contests {
		keys = append(keys, cache.ScoreKey(id))
	}
	for _, competition := range tables {
		keys = append(keys, cache.MedalsKey(competition))
	}
	return keys, known, nil
}

func (g *testMember) Invalidations() *cache.Invalidations {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.feed == nil {
		g.feed = cache.NewInvalidations()
	}
	return g.feed
}

func (g *testMember) Epoch() uint64 { return 7 }

func (g *testMember) Carry(load func() score.Load) {}

func (g *testMember) ReadyForReads(ctx context.Context) error { return g.ready }

func (g *testMember) Ready(ctx context.Context) error { return cmp.Or(g.ready, g.voteless) }

func (g *testMember) Frontends() score.Frontends {
	return score.Frontends{Mode: g.CacheMode(), Epoch: 7, Master: g.id, Frontends: []score.Frontend{
		{ID: g.id, URL: "http://127.0.0.1:8001", Peer: "127.0.0.1:9001", Master: true, Voter: true,
			State: score.Serving, Revision: 8123,
			Leased: true, LeaseMS: 180, Pushed: 8123, Released: 8122},
		{ID: "f2", URL: "http://127.0.0.1:8002", Peer: "127.0.0.1:9002", Voter: true, State: score.Unreachable,
			Revision: 8100}}}
}

func (g *testMember) note(what string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members = append(g.members, what)
	return nil
}

func (g *testMember) Join(ctx context.Context, m score.NewMember, byOperator bool) error {
	b, _ := json.Marshal(m)
	return g.note("join " + string(b))
}

func (g *testMember) Leave(ctx context.Context, id string, force bool) error {
	if force {
		return g.note("force " + id)
	}
	return g.note("leave " + id)
}

func (g *testMember) Autopilot() score.Autopilot { return score.Autopilot{} }

func (g *testMember) Drain(_ context.Context, id string, on bool) error {
	return g.note(fmt.Sprint("drain ", id, " ", on))
}

func (g *testMember) Transfer(ctx context.Context, to string) error { return g.note("transfer " + to) }

// Snapshot returns a snapshot that has the revision of the store and no content.
func (g *testMember) Snapshot(context.Context) (*queries.Snapshot, error) {
	if !g.leased() {
		return nil, cache.ErrNotLeased
	}
	return &queries.Snapshot{
		Incarnation: g.Incarnation(), Revision: g.store.Revision(),
		Write:   func(w io.Writer, _ time.Time) error { return nil },
		Release: func() {},
	}, nil
}

// groupMember is testMember or a type that embeds it.
type groupMember interface {
	Status
	Reader
	posts.Poster
	Forwarder
	admin.AccessControl
	admin.Membership
	snapshots.Store
}

// groupOf returns the group of a member, without certificates.
func groupOf(m groupMember) Group {
	g := Group{Status: m, Reader: m, Poster: m, Forwarder: m, Access: m, Membership: m, Trust: insecure{}, Store: m}
	if trust, ok := m.(admin.Trust); ok {
		g.Trust = trust
	}
	if voucher, ok := m.(Voucher); ok {
		g.Voucher = voucher
	}
	return g
}

// insecure is the Trust of a group without certificates.
type insecure struct{}

var errInsecure = score.Problemf(score.StatusConflict, "the group has no certificates")

func (insecure) AuthorityPEM() []byte                          { return nil }
func (insecure) RotateAuthority(context.Context, string) error { return errInsecure }
func (insecure) FinishRotation(context.Context, string) error  { return errInsecure }
func (insecure) NewJoinToken(context.Context, string, time.Duration, int, access.Terms) (string, error) {
	return "", errInsecure
}
func (insecure) Enroll(context.Context, string, []byte, string) (any, error) {
	return nil, errInsecure
}

// writeBody writes an answer of the master.
func writeBody(w http.ResponseWriter, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func callerOf(c *x509.Certificate) (member string, joins bool, err error) {
	h, err := pki.HolderOf(c)
	return h.Member, h.Role == pki.Joiner, err
}

// testHost is the host of requests that are not made by URL, as if it were in the public one.
const testHost = "a"

// newTestAPI returns a group whose frontend f1 is the master, and its API.
func newTestAPI(t testing.TB, o Options) (*testMember, *API) { return newTestAPIOf(t, "f1", o) }

// newTestAPIOf is newTestAPI for a frontend with an id, which must not change later: the
// goroutines of the API read it.
func newTestAPIOf(t testing.TB, id string, o Options) (*testMember, *API) {
	t.Helper()
	g := &testMember{id: id, store: newStore(t)}
	o.Logger = slog.New(slog.DiscardHandler)
	o.Verify, o.CallerOf, o.PublicHost = new(signing.Verifier).VerifyEvent, callerOf, testHost
	return g, newPatientAPI(t, groupOf(g), o)
}

// readResponse is a response whose body has been read.
type readResponse struct {
	*http.Response
	body string
}

func (g *readResponse) problem(t testing.TB) score.Problem {
	t.Helper()
	if kind := g.Header.Get("Content-Type"); kind != "application/problem+json" {
		t.Fatalf("status %d, content type %q, body %q: want a problem", g.StatusCode, kind, g.body)
	}
	var p score.Problem
	if err := json.Unmarshal([]byte(g.body), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != g.StatusCode || p.Detail == "" || p.Title == "" || p.Type == "" ||
		!slices.Contains(score.Codes(), p.Code) {
		t.Errorf("status %d with a problem that lacks something: %+v", g.StatusCode, p)
	}
	return p
}

// ask sends a request; headers are "Name: value".
// forwarded marks a request as one that a member forwards for a client that is none.
const forwarded = access.CallerHeader + ": " + access.NoMember

func ask(t testing.TB, s *httptest.Server, method, path, body string, headers ...string) *readResponse {
	t.Helper()
	return askReader(t, s, method, path, strings.NewReader(body), headers...)
}

func askReader(t testing.TB, s *httptest.Server, method, path string, body io.Reader, headers ...string) *readResponse {
	t.Helper()
	if r, ok := body.(*strings.Reader); ok && r.Len() == 0 {
		body = nil
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	client := *s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return &readResponse{res, b.String()}
}

const (
	isJSON   = "Content-Type: application/json"
	isNDJSON = "Content-Type: application/x-ndjson"
)

// alert returns an event as JSON.
func alert(id, comment string) string {
	return `{"id":"` + id + `","type":"alert","contest_id":"OG50BC/CUR-M-GPA-01","data":{"text":"clack","comment":"` + comment + `"}}`
}
