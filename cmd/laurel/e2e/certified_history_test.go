package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/go-json-experiment/json"

	laurel "laurel/client"
	"laurel/client/verify"
	"laurel/score"
)

// certifiedRead is an answer that was accepted by its certificate. Times are nanoseconds
// since the history began.
type certifiedRead struct {
	call, back, at int64  // everything that was certified before at is in the answer
	seen           string // the file in which the reader remembers what it has accepted
	round          uint64
	thing          string
	observation
}

func (r *certifiedRead) String() string {
	return fmt.Sprintf("%s is %d at revision %d in round %d, as of %.3f s, asked at %.3f s and answered at %.3f s",
		r.thing, r.value, r.revision, r.round, float64(r.at)/1e9, float64(r.call)/1e9, float64(r.back)/1e9)
}

// certifiedReads are all such answers of a history. It is safe for concurrent use.
type certifiedReads struct {
	mu  sync.Mutex
	all []certifiedRead
}

// maxAge is more than the age at which a reader accepts a certificate: times are whole seconds.
const maxAge = 7 * time.Second

// trail has the newest round that was accepted by each time.
type trail struct {
	times  []int64
	rounds []uint64
}

func (t *trail) add(time int64, round uint64) {
	if n := len(t.rounds); n > 0 {
		round = max(round, t.rounds[n-1])
	}
	t.times, t.rounds = append(t.times, time), append(t.rounds, round)
}

func (t *trail) before(time int64) uint64 {
	if i, _ := slices.BinarySearch(t.times, time); i > 0 {
		return t.rounds[i-1]
	}
	return 0
}

// check checks that the answers are of one history, that none is older than what was
// certified before its time, and that nobody goes back behind what the file knows.
func (c *certifiedReads) check(known []porcupine.Operation) error {
	made := values(known)
	slices.SortFunc(c.all, func(a, b certifiedRead) int { return cmp.Compare(a.back, b.back) })
	all, files := &trail{}, map[string]*trail{}
	for _, r := range c.all {
		if files[r.seen] == nil {
			files[r.seen] = &trail{}
		}
		all.add(r.back, r.round)
		files[r.seen].add(r.back, r.round)
	}
	var wrong []error
	accuse := func(what string, r certifiedRead) { wrong = append(wrong, fmt.Errorf("%s: %s", what, &r)) }
	for _, r := range c.all {
		switch e, there := made[r.thing][r.revision]; {
		case !there || e.value != r.value:
			accuse("no events make this", r)
		case r.back < e.call:
			accuse("it was not posted yet", r)
		case r.round < all.before(r.at):
			accuse("a later round was certified before its time", r)
		case r.round < files[r.seen].before(r.call):
			accuse("the reader has seen a later round", r)
		case r.at < r.call-int64(maxAge):
			accuse("it is too old", r)
		}
	}
	slices.SortFunc(c.all, func(a, b certifiedRead) int { return cmp.Compare(a.round, b.round) })
	newest := map[string]certifiedRead{}
	for _, r := range c.all {
		n, there := newest[r.thing]
		if there && (r.revision < n.revision || r.round == n.round && r.revision != n.revision) {
			accuse("a round before shows more, or the same round something else: "+n.String(), r)
		}
		newest[r.thing] = r
	}
	return errors.Join(wrong[:min(len(wrong), 5)]...)
}

// few reports whether the history is too short to show anything.
func (c *certifiedReads) few(h *history) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(c.all) < 50 || h.counts["lies refused"] == 0 || len(h.posted) < 20
}

// readCertified reads contests by certificate until ctx ends. A reader stays with the frontend
// that gave a good answer, so each read has its own.
func (c *certifiedReads) readCertified(ctx context.Context, h *history, newReader func() *verify.Certified, seen string,
	r *rand.Rand) {
	for ctx.Err() == nil {
		reader := newReader()
		reader.Timeout = impatience
		call, thing := h.now(), directContest(r.IntN(directContests))
		a, err := reader.Get(context.WithoutCancel(ctx), laurel.ScorePath(thing), nil)
		if errors.As(err, new(*verify.UnverifiedError)) {
			h.count("certified read: nothing to verify")
			continue
		}
		var rec score.Record
		if err == nil {
			err = json.Unmarshal(a.Body, &rec)
		}
		s, bad := scoreOf(rec)
		if err = errors.Join(err, bad); err != nil {
			h.addError(fmt.Errorf("certified read of %s: %w", thing, err))
			return
		}
		h.count("certified read")
		if len(a.Objectors) > 0 {
			h.count("lies refused")
		}
		c.mu.Lock()
		c.all = append(c.all, certifiedRead{call, h.now(), int64(a.At.Sub(h.began)), seen, a.Round.Number, thing, s})
		c.mu.Unlock()
		pauseFor(ctx, readPause)
	}
}

// startCertified starts readers, of which two share what they have seen.
func (g *vouchedGroup) startCertified(ctx context.Context, clients *sync.WaitGroup, h *history, seed uint64,
	urls []string) *certifiedReads {
	g.t.Helper()
	c, dir := &certifiedReads{}, g.t.TempDir()
	for i, name := range []string{"a", "a", "b", "c"} {
		r, to, file := rand.New(rand.NewPCG(seed, uint64(200+i))), g.client(urls...), filepath.Join(dir, name)
		newReader := func() *verify.Certified { return verify.NewCertified(to, g.policy, file) }
		clients.Go(func() { c.readCertified(ctx, h, newReader, file, r) })
	}
	return c
}

// TestEveryHistoryOfCertifiedReadsGoesForward has readers by certificate, to whom one of four
// frontends lies in every way by turns, while bards post signed events.
func TestEveryHistoryOfCertifiedReadsGoesForward(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	eachSeed(t, certifiedHistory)
}

func certifiedHistory(t *testing.T, seed uint64) {
	g := newVouchedGroup(t)
	h := newHistory()
	g.beginDirect(h)
	for i := range directContests {
		g.expectCertified("scores/"+directContest(i), g.frontends...)
	}
	l := newProofLiar(t, g.master())
	urls := []string{l.server.URL}
	var honest *frontend
	for _, f := range g.frontends {
		if f.url != l.to {
			urls, honest = append(urls, f.url), f
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	length := byForm(4*time.Second, 12*time.Second, longHistory)
	var clients sync.WaitGroup
	for i := range directWriters {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() { g.writeDirect(ctx, h, i, r, false) })
	}
	c := g.startCertified(ctx, &clients, h, seed, urls)
	tell := proofLies(t)
	names := slices.Sorted(maps.Keys(tell))
	// On a busy machine it takes longer until there is enough to judge.
	for turn, began := 0, time.Now(); time.Since(began) < length ||
		time.Since(began) < patience && c.few(h); turn++ {
		lie := tell[names[turn%len(names)]]
		l.lie.Store(&lie)
		pauseFor(ctx, 100*time.Millisecond)
	}
	stop()
	clients.Wait()
	g.endDirect(h, honest)
	if err := c.check(h.known); err != nil {
		t.Error(err)
	}
	if c.few(h) {
		t.Errorf("%d reads accepted are too few to show anything: %v", len(c.all), h.counts)
	}
	t.Logf("%d events acked, %d reads by certificate, %v", len(h.posted), len(c.all), h.counts)
}

func TestTheCheckOfCertifiedReadsFindsWhatMustNotBe(t *testing.T) {
	const second = int64(time.Second)
	event := func(call int64, revision uint64) porcupine.Operation {
		return porcupine.Operation{Input: request{thing: "A", verb: add}, Call: call, Return: call + 1,
			Output: observation{revision, 0}}
	}
	known := []porcupine.Operation{event(1, 1), event(11*second, 3)}
	read := func(at, call, back int64, seen string, round, revision uint64, value int64) certifiedRead {
		return certifiedRead{call, back, at, seen, round, "A", observation{revision, value}}
	}
	newer := read(11*second, 12*second, 13*second, "a", 2, 3, 2)
	for _, c := range []struct {
		what string
		may  bool
		r    certifiedRead
	}{
		{"the same again", true, read(11*second, 14*second, 15*second, "a", 2, 3, 2)},
		{"the older round elsewhere, as of a time before", true, read(11*second, 14*second, 15*second, "b", 1, 1, 1)},
		{"the older round at the same time", true, read(11*second, 12*second, 14*second, "a", 1, 1, 1)},
		{"the older round after the newer", false, read(11*second, 14*second, 15*second, "a", 1, 1, 1)},
		{"the older round as of a time after", false, read(14*second, 14*second, 15*second, "b", 1, 1, 1)},
		{"what is too old", false, read(second, 14*second, 15*second, "b", 1, 1, 1)},
		{"another value", false, read(11*second, 14*second, 15*second, "a", 2, 3, 1)},
		{"another state of the round", false, read(11*second, 14*second, 15*second, "b", 2, 1, 1)},
		{"less in a later round", false, read(11*second, 14*second, 15*second, "b", 3, 1, 1)},
		{"a revision that no event made", false, read(11*second, 14*second, 15*second, "a", 3, 4, 3)},
		{"an event before it was posted", false, read(9*second, 9*second, 10*second, "b", 2, 3, 2)},
	} {
		h := &certifiedReads{all: []certifiedRead{c.r, newer}}
		if err := h.check(known); (err == nil) != c.may {
			t.Errorf("%s: may be read %t, judged %v", c.what, c.may, err)
		}
	}
}
