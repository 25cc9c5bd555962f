package batch

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/fsm/entry"
	"laurel/score"
)

// encoded returns a post of one event of approximately the given size.
func encoded(t testing.TB, size int) entry.EncodedPost {
	t.Helper()
	p := score.Post{Mode: score.UntilRefused, Events: []score.Event{{
		ID: "x-1", IDGiven: true, Source: "bard/x", Seq: 1, Type: score.TypeAlert, Time: time.Now(),
		ContestID: "OG50BC/rain", Data: &score.Alert{Text: strings.Repeat("x", size)},
	}}}
	e, err := entry.EncodePost(p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newHeldBatcher returns a Batcher whose sends are written at once and then wait until proceed is called, at the
// latest when the test ends. sent gets their batches.
func newHeldBatcher(t *testing.T) (g *Batcher, sent chan []*Post, proceed func()) {
	sent = make(chan []*Post, 1000)
	released := make(chan struct{})
	proceed = sync.OnceFunc(func() { close(released) })
	g = New(func(batch []*Post) {
		sent <- batch
		g.Written()
		<-released
		for _, p := range batch {
			p.Done <- Outcome{}
		}
	}, func(int) {})
	t.Cleanup(func() {
		proceed()
		g.Close(time.Minute)
	})
	return g, sent, proceed
}

func add(t *testing.T, g *Batcher, e entry.EncodedPost) *Post {
	t.Helper()
	it := NewPost(e, "")
	if err := g.Add(it); err != nil {
		t.Fatal(err)
	}
	return it
}

func TestFullQueueRefusesPostsAndDoesNotGrow(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 200 << 10} {
		g, sent, proceed := newHeldBatcher(t)
		e := encoded(t, size)
		for range maxInFlight {
			add(t, g, e)
			<-sent
		}
		var queued []*Post
		for !full(g, e) {
			queued = append(queued, add(t, g, e))
		}
		waiting := g.Waiting()
		if waiting*e.Size() > maxQueuedBytes || waiting > maxQueuedPosts {
			t.Errorf("%d posts of %d bytes wait", waiting, e.Size())
		}
		for range 100 {
			if p := g.Add(NewPost(e, "")); p == nil || p.Code != score.RateLimited {
				t.Fatalf("a full queue got %v", p)
			}
		}
		if n := g.Waiting(); n != waiting {
			t.Errorf("refused posts made the queue grow from %d to %d", waiting, n)
		}
		proceed()
		for _, p := range queued {
			<-p.Done
		}
		add(t, g, e)
	}
}

func full(g *Batcher, e entry.EncodedPost) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue) >= maxQueuedPosts || g.bytes+e.Size() > maxQueuedBytes
}

func TestEntryIsBoundedInEventsAndBytes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 60 << 10} {
		g, sent, proceed := newHeldBatcher(t)
		e := encoded(t, size)
		var items []*Post
		for range 3 * maxEntryEvents / 2 {
			if full(g, e) {
				break
			}
			items = append(items, add(t, g, e))
		}
		proceed()
		for _, it := range items {
			<-it.Done
		}
		for carried := 0; carried < len(items); {
			batch := <-sent
			carried += len(batch)
			if len(batch) > maxEntryEvents || len(batch) > 1 && len(batch)*e.Size() > maxEntryBytes {
				t.Errorf("an entry has %d posts of %d bytes", len(batch), e.Size())
			}
		}
	}
}

func TestPostsThatComeWhileABatchIsWrittenAreTheNextBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const posts = 20
		sent, released := make(chan []*Post, posts), make(chan struct{})
		g := New(func(batch []*Post) {
			sent <- batch
			<-released
			for _, p := range batch {
				p.Done <- Outcome{}
			}
		}, func(int) {})
		e := encoded(t, 10)
		// batches returns how many posts the batches have that were sent since the last call.
		batches := func() (sizes []int) {
			synctest.Wait()
			for len(sent) > 0 {
				sizes = append(sizes, len(<-sent))
			}
			return sizes
		}
		add(t, g, e)
		if sizes := batches(); !slices.Equal(sizes, []int{1}) {
			t.Fatalf("one post was sent in batches of %v", sizes)
		}
		for range posts {
			add(t, g, e)
			if sizes := batches(); len(sizes) > 0 {
				t.Fatalf("batches of %v were sent while another one was written", sizes)
			}
		}
		g.Written() // and the first batch waits for its release
		if sizes := batches(); !slices.Equal(sizes, []int{posts}) {
			t.Errorf("%d posts were sent in batches of %v", posts, sizes)
		}
		g.Written()
		last := add(t, g, e)
		if sizes := batches(); len(sizes) > 0 {
			t.Errorf("batches of %v were sent while two wait for their release", sizes)
		}
		close(released)
		if o := <-last.Done; o.Problem != nil {
			t.Error(o.Problem)
		}
		g.Close(time.Minute)
	})
}

func TestForwardedPostsKeepTheSecretsOfTheirTokens(t *testing.T) {
	t.Parallel()
	byToken := func(id string, secret score.Secret) *Post {
		e := score.Event{ID: "x-1", IDGiven: true, Source: "bard/x", Seq: 1, Type: score.TypeAlert, Time: time.Now(),
			ContestID: "OG50BC/rain", Data: &score.Alert{Text: "rain"}, Token: id}
		encoded, err := entry.EncodePost(score.Post{Events: []score.Event{e}})
		if err != nil {
			t.Fatal(err)
		}
		return NewPost(encoded, secret)
	}
	sent := []*Post{
		byToken("", ""), byToken("a", "secret of a"), byToken("a", "secret of a"), byToken("", "secret of c"),
		byToken("b", "secret of b"), byToken("a", "secret of a"), byToken("", ""), byToken("a", "secret of a"),
	}
	body := Encode(sent)
	if n := strings.Count(string(body), "secret of a"); n != 2 || strings.Contains(string(body), "secret of c") {
		t.Errorf("the body has the secret of a %d times:\n%q", n, body)
	}
	got, err := Decode(body)
	if err != nil || len(got) != len(sent) {
		t.Fatalf("got %d posts, %v", len(got), err)
	}
	for i, p := range got {
		if p.Token != sent[i].Token || p.Token != "" && p.Secret != sent[i].Secret || !p.Forwarded {
			t.Errorf("post %d is by the token %q with %q", i, p.Token, string(p.Secret))
		}
		if strings.Contains(string(entry.Encode([]entry.EncodedPost{p.EncodedPost})), "secret of") {
			t.Errorf("post %d brings its secret into the log", i)
		}
	}
}

func TestCloseRefusesTheQueuedPosts(t *testing.T) {
	t.Parallel()
	g, sent, proceed := newHeldBatcher(t)
	e := encoded(t, 10)
	for range maxInFlight {
		add(t, g, e)
		<-sent
	}
	waits := add(t, g, e)
	const limit = 10 * time.Millisecond
	start := time.Now()
	if g.Close(limit); time.Since(start) < limit {
		t.Error("the batcher is closed while posts are under way")
	}
	if o := <-waits.Done; !errors.Is(o.Problem, ErrStopping) {
		t.Errorf("got %v", o.Problem)
	}
	if err := g.Add(NewPost(e, "")); !errors.Is(err, ErrStopping) {
		t.Errorf("a post after that got %v", err)
	}
	proceed()
	g.Close(time.Minute)
	if g.inFlight > 0 {
		t.Errorf("%d batches are in flight after Close", g.inFlight)
	}
}

func TestAnOutcomeIsAnsweredWithWhatWasFolded(t *testing.T) {
	sent := []Outcome{
		{Results: []score.Result{{ID: "a", Status: score.Applied, Folded: 3}, {ID: "b", Status: score.Applied, Folded: 4}}},
		{Problem: score.Problemf(score.RateLimited, "wait")},
	}
	body, err := EncodeOutcomes(sent)
	if err != nil {
		t.Fatal(err)
	}
	var got []Outcome
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	folded := 0
	for i := range got {
		got[i].Complete()
		for _, r := range got[i].Results {
			folded += r.Folded
		}
	}
	if len(got) != 2 || len(got[0].Results) != 2 || folded != 7 || got[1].Problem == nil {
		t.Errorf("%s is %+v, with %d events folded", body, got, folded)
	}
}
