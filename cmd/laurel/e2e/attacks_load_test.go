package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	laurel "laurel/client"
	"laurel/score"
	"laurel/trust/access"
)

// attackTest is a secure group that is attacked, with a bard and two readers at each
// frontend.
type attackTest struct {
	*secureGroup
	trust    *tls.Config // for the group's certificates
	bards    []*loadBard
	stopLoad func() // stops the posts and reads, and waits for them
	epoch    uint64
	idle     []resources // before the first attack
	calm     period

	mu   sync.Mutex
	seen period
}

// loadBard posts one point after the other to a contest of its own. The score is the
// number of posts.
type loadBard struct {
	source, contest string
	client          *laurel.Client
	started, acked  atomic.Int64
}

const loadReadPause = 20 * time.Millisecond // of a client between two reads

func newAttackTest(t testing.TB, g *secureGroup) *attackTest {
	t.Helper()
	s := &attackTest{secureGroup: g}
	for _, f := range s.frontends {
		f.holdKey()
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(get(t, s.frontends[0].url+"/v1/cluster/authority").body)) {
		t.Fatal("the authority's certificate cannot be read")
	}
	s.trust = &tls.Config{RootCAs: roots}
	for i := range s.frontends {
		s.addBard(i)
	}
	s.beginPeriod()
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	s.stopLoad = func() {
		stop()
		all.Wait()
	}
	t.Cleanup(s.stopLoad)
	for i := range s.frontends {
		all.Go(func() { s.postLoop(ctx, i) })
		all.Go(func() { s.readLoop(ctx, i, false) })
		all.Go(func() { s.readLoop(ctx, i, true) })
	}
	s.epoch, s.idle = s.epochNow(), s.measure()
	return s
}

// addBard adds a bard whose home is the ith frontend, and defines its contest.
func (s *attackTest) addBard(i int) {
	t := s.t
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &loadBard{source: "bard/siege-" + strconv.Itoa(i), contest: "OG50BC/SIEGE-" + strconv.Itoa(i)}
	grant, err := json.Marshal(access.GrantRequest{Name: b.source, Role: access.RoleBard, Public: public})
	if err != nil {
		t.Fatal(err)
	}
	s.must(s.frontends[0], "POST", "/v1/access/grants", string(grant))
	var urls []string
	for _, f := range s.frontends {
		urls = append(urls, "https://"+f.http)
	}
	if b.client, err = laurel.New(urls, laurel.Options{Home: s.frontends[i].id, Key: key, TLS: s.trust,
		Timeout: patience}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	for _, begins := range []struct{ kind, data string }{
		{"contest.define", `{"kind":"head_to_head","sport":"stone-curling","competitors":[{"code":"GAU","organisation":"GAU"},{"code":"ROM","organisation":"ROM"}]}`},
		{"contest.status", `{"schedule_status":"RUNNING","result_status":"LIVE"}`},
		{"score.set", `{"result":{"GAU":0,"ROM":0},"reason":"it begins"}`},
	} {
		if err := b.post(begins.kind, begins.data); err != nil {
			t.Fatal(err)
		}
	}
	s.bards = append(s.bards, b)
}

func (b *loadBard) post(kind, data string) error {
	e, problem := score.Decode(fmt.Appendf(nil, `{"source":%q,"type":%q,"contest_id":%q,"data":%s}`, b.source, kind,
		b.contest, data))
	if problem != nil {
		return problem
	}
	_, err := b.client.Post(context.Background(), []score.Event{e})
	return err
}

// postLoop posts until ctx ends. Every post must be acknowledged.
func (s *attackTest) postLoop(ctx context.Context, i int) {
	for b := s.bards[i]; ctx.Err() == nil; {
		b.started.Add(1)
		start := time.Now()
		if err := b.post("score.play", `{"competitor":"GAU","delta":1}`); err != nil {
			s.t.Errorf("a post of %s was not acked: %v", b.source, err)
			return
		}
		b.acked.Add(1)
		s.record(&s.seen.posts[i], start)
	}
}

func (s *attackTest) record(of *[]time.Duration, start time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*of = append(*of, time.Since(start))
}

// httpClient returns a new client. With fresh it makes a connection for each request.
func (s *attackTest) httpClient(fresh bool) *http.Client {
	return &http.Client{Timeout: 10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: s.trust.Clone(), DisableKeepAlives: fresh,
			IdleConnTimeout: time.Second}}
}

// readLoop reads from a frontend until ctx ends. An answer must be correct, but a request
// may fail.
func (s *attackTest) readLoop(ctx context.Context, i int, fresh bool) {
	web := s.httpClient(fresh)
	defer web.CloseIdleConnections()
	list := s.seen.kept
	if fresh {
		list = s.seen.fresh
	}
	for n := i; ctx.Err() == nil; n++ {
		start := time.Now()
		err := s.checkRead(web, s.frontends[i], s.bards[n%len(s.bards)])
		switch {
		case err == nil:
			s.record(&list[i], start)
		case !errors.Is(err, errNoAnswer):
			s.t.Error(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(loadReadPause):
		}
	}
}

var errNoAnswer = errors.New("no answer")

// checkRead reads a score. It must have every point that was acknowledged before the
// read, and none that was not posted by the end of it.
func (s *attackTest) checkRead(web *http.Client, f *frontend, b *loadBard) error {
	least := b.acked.Load()
	res, err := web.Get("https://" + f.http + "/v1/scores/" + b.contest)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	if res.StatusCode == http.StatusServiceUnavailable || res.StatusCode == http.StatusTooManyRequests {
		return fmt.Errorf("%w: %s %s", errNoAnswer, res.Status, body)
	}
	most := b.started.Load()
	var r score.Record
	if err := json.Unmarshal(body, &r); res.StatusCode != http.StatusOK || err != nil {
		return fmt.Errorf("%s at %s: %s %s: %w", b.contest, f.id, res.Status, body, err)
	}
	shown, err := scoreOf(r)
	if err != nil || shown.value < least || shown.value > most {
		return fmt.Errorf("%s shows %s of %s, of which %d to %d points are true: %w", f.id, body, b.source, least, most,
			err)
	}
	return nil
}

// beginPeriod resets what was measured.
func (s *attackTest) beginPeriod() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.posts == nil {
		n := len(s.frontends)
		s.seen = period{posts: make([][]time.Duration, n), kept: make([][]time.Duration, n),
			fresh: make([][]time.Duration, n)}
	}
	for _, of := range [][][]time.Duration{s.seen.posts, s.seen.kept, s.seen.fresh} {
		clear(of)
	}
	s.seen.began = time.Now()
}

// answered returns an error unless each frontend has acked a post and answered a read of each
// kind since beginPeriod.
func (s *attackTest) answered() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.frontends {
		posts, kept, fresh := len(s.seen.posts[i]), len(s.seen.kept[i]), len(s.seen.fresh[i])
		if min(posts, kept, fresh) == 0 {
			return fmt.Errorf("at %s %d posts were acked, and %d reads by one connection and %d by new ones were answered",
				f.id, posts, kept, fresh)
		}
	}
	return nil
}

// endPeriod returns what was measured since beginPeriod.
func (s *attackTest) endPeriod() period {
	s.mu.Lock()
	defer s.mu.Unlock()
	clone := func(of [][]time.Duration) [][]time.Duration { return append([][]time.Duration(nil), of...) }
	return period{lasted: time.Since(s.seen.began), posts: clone(s.seen.posts), kept: clone(s.seen.kept),
		fresh: clone(s.seen.fresh)}
}

// resources is what a frontend uses of the machine.
type resources struct {
	goroutines, mib int
	cpu             float64 // seconds, since it began
}

// measure returns the resources of each frontend.
func (s *attackTest) measure() []resources {
	s.t.Helper()
	list := make([]resources, len(s.frontends))
	for i, f := range s.frontends {
		eventually(s.t, "the metrics of "+f.id, func() (err error) {
			list[i], err = f.resources()
			return err
		})
	}
	return list
}

// maxResources returns the maximum of each frontend's resources until ctx ends.
func (s *attackTest) maxResources(ctx context.Context) []resources {
	most := make([]resources, len(s.frontends))
	for tick := time.NewTicker(250 * time.Millisecond); ctx.Err() == nil; {
		for i, f := range s.frontends {
			if now, err := f.resources(); err == nil {
				most[i] = resources{max(most[i].goroutines, now.goroutines), max(most[i].mib, now.mib), now.cpu}
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return most
}

func (f *frontend) resources() (n resources, err error) {
	a, err := ask("GET", f.url+"/metrics", "")
	if err != nil {
		return n, err
	}
	goroutines, err1 := gauge(a.body, "go_goroutines")
	mib, err2 := f.residentMiB()
	cpu, err3 := gauge(a.body, "process_cpu_seconds_total")
	return resources{int(goroutines), mib, cpu}, errors.Join(err1, err2, err3)
}

// gauge returns the value of a metric without labels.
func gauge(metrics, name string) (float64, error) {
	for line := range strings.Lines(metrics) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s: %w", name, os.ErrNotExist)
}

// epochNow returns the epoch of the master on which all agree.
func (s *attackTest) epochNow() (epoch uint64) {
	s.t.Helper()
	master := s.master()
	eventually(s.t, "the epoch", func() error {
		seen, err := master.status()
		epoch = seen.Epoch
		return err
	})
	return epoch
}
