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

// siege is a secure group that is attacked, with a bard and two readers at each frontend.
type siege struct {
	*secureGroup
	trust  *tls.Config // for the group's certificates
	bards  []*besiegedBard
	leave  func() // ends the posting and reading, and waits for it
	epoch  uint64
	atRest []taken // before the first attack
	calm   period

	mu   sync.Mutex
	seen period
}

// besiegedBard posts one point after the other to a contest of its own, so that its score is the number of its posts.
type besiegedBard struct {
	source, contest string
	client          *laurel.Client
	begun, acked    atomic.Int64
}

const siegePause = 20 * time.Millisecond // of a client between two reads

func besiege(t testing.TB, env ...string) *siege {
	t.Helper()
	s := &siege{secureGroup: newSecureGroup(t, 3, env...)}
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
	s.begin()
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	s.leave = func() {
		stop()
		all.Wait()
	}
	t.Cleanup(s.leave)
	for i := range s.frontends {
		all.Go(func() { s.sing(ctx, i) })
		all.Go(func() { s.look(ctx, i, false) })
		all.Go(func() { s.look(ctx, i, true) })
	}
	s.epoch, s.atRest = s.epochNow(), s.measure()
	return s
}

// addBard lets a bard in, whose home is the i-th frontend, and has it begin its contest.
func (s *siege) addBard(i int) {
	t := s.t
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &besiegedBard{source: "bard/siege-" + strconv.Itoa(i), contest: "OG50BC/SIEGE-" + strconv.Itoa(i)}
	grant, err := json.Marshal(access.GrantRequest{Name: b.source, Role: access.RoleBard, Public: public})
	if err != nil {
		t.Fatal(err)
	}
	s.must(s.frontends[0], "POST", "/v1/access/grants", string(grant))
	var urls []string
	for _, f := range s.frontends {
		urls = append(urls, "https://"+f.http)
	}
	if b.client, err = laurel.New(urls, laurel.Options{Home: s.frontends[i].id, Key: key, TLS: s.trust, Timeout: patience}); err != nil {
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

func (b *besiegedBard) post(kind, data string) error {
	e, problem := score.Decode(fmt.Appendf(nil, `{"source":%q,"type":%q,"contest_id":%q,"data":%s}`, b.source, kind, b.contest, data))
	if problem != nil {
		return problem
	}
	_, err := b.client.Post(context.Background(), []score.Event{e})
	return err
}

// sing posts until ctx ends. Every post has to be acked.
func (s *siege) sing(ctx context.Context, i int) {
	for b := s.bards[i]; ctx.Err() == nil; {
		b.begun.Add(1)
		start := time.Now()
		if err := b.post("score.play", `{"competitor":"GAU","delta":1}`); err != nil {
			s.t.Errorf("a post of %s was not acked: %v", b.source, err)
			return
		}
		b.acked.Add(1)
		s.note(&s.seen.posts[i], start)
	}
}

func (s *siege) note(of *[]time.Duration, start time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*of = append(*of, time.Since(start))
}

// webs is a client of its own; with fresh it makes a connection for each question.
func (s *siege) webs(fresh bool) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: s.trust.Clone(), DisableKeepAlives: fresh, IdleConnTimeout: time.Second}}
}

// look reads at a frontend until ctx ends. What is shown has to be true; an answer to each question is not promised.
func (s *siege) look(ctx context.Context, i int, fresh bool) {
	web := s.webs(fresh)
	defer web.CloseIdleConnections()
	list := s.seen.kept
	if fresh {
		list = s.seen.fresh
	}
	for n := i; ctx.Err() == nil; n++ {
		start := time.Now()
		err := s.lookAt(web, s.frontends[i], s.bards[n%len(s.bards)])
		switch {
		case err == nil:
			s.note(&list[i], start)
		case !errors.Is(err, errNoAnswer):
			s.t.Error(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(siegePause):
		}
	}
}

var errNoAnswer = errors.New("no answer")

// lookAt asks a frontend for a score, which has to have every point that was acked before, and none that was not even posted after.
func (s *siege) lookAt(web *http.Client, f *frontend, b *besiegedBard) error {
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
	most := b.begun.Load()
	var r score.Record
	if err := json.Unmarshal(body, &r); res.StatusCode != http.StatusOK || err != nil {
		return fmt.Errorf("%s at %s: %s %s: %w", b.contest, f.id, res.Status, body, err)
	}
	shown, err := scoreOf(r)
	if err != nil || shown.value < least || shown.value > most {
		return fmt.Errorf("%s shows %s of %s, of which %d to %d points are true: %w", f.id, body, b.source, least, most, err)
	}
	return nil
}

// begin makes a new account of what is seen.
func (s *siege) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.posts == nil {
		n := len(s.frontends)
		s.seen = period{posts: make([][]time.Duration, n), kept: make([][]time.Duration, n), fresh: make([][]time.Duration, n)}
	}
	for _, of := range [][][]time.Duration{s.seen.posts, s.seen.kept, s.seen.fresh} {
		clear(of)
	}
	s.seen.began = time.Now()
}

// end is the account since begin.
func (s *siege) end() period {
	s.mu.Lock()
	defer s.mu.Unlock()
	clone := func(of [][]time.Duration) [][]time.Duration { return append([][]time.Duration(nil), of...) }
	return period{lasted: time.Since(s.seen.began), posts: clone(s.seen.posts), kept: clone(s.seen.kept), fresh: clone(s.seen.fresh)}
}

// taken is what a frontend takes of its machine.
type taken struct {
	goroutines, mib int
	cpu             float64 // seconds, since it began
}

// measure asks each frontend.
func (s *siege) measure() []taken {
	s.t.Helper()
	list := make([]taken, len(s.frontends))
	for i, f := range s.frontends {
		eventually(s.t, "the metrics of "+f.id, func() (err error) {
			list[i], err = f.takes()
			return err
		})
	}
	return list
}

// watchOver gives the most that each frontend has taken until ctx ends.
func (s *siege) watchOver(ctx context.Context) []taken {
	most := make([]taken, len(s.frontends))
	for tick := time.NewTicker(250 * time.Millisecond); ctx.Err() == nil; {
		for i, f := range s.frontends {
			if now, err := f.takes(); err == nil {
				most[i] = taken{max(most[i].goroutines, now.goroutines), max(most[i].mib, now.mib), now.cpu}
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return most
}

func (f *frontend) takes() (n taken, err error) {
	a, err := ask("GET", f.url+"/metrics", "")
	if err != nil {
		return n, err
	}
	goroutines, err1 := gauge(a.body, "go_goroutines")
	bytes, err2 := gauge(a.body, "process_resident_memory_bytes")
	cpu, err3 := gauge(a.body, "process_cpu_seconds_total")
	return taken{int(goroutines), int(bytes) >> 20, cpu}, errors.Join(err1, err2, err3)
}

// gauge is a metric without labels.
func gauge(metrics, name string) (float64, error) {
	for line := range strings.Lines(metrics) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s: %w", name, os.ErrNotExist)
}

// epochNow is the epoch of the master that all agree on.
func (s *siege) epochNow() (epoch uint64) {
	s.t.Helper()
	master := s.master()
	eventually(s.t, "the epoch", func() error {
		seen, err := master.seen()
		epoch = seen.Epoch
		return err
	})
	return epoch
}
