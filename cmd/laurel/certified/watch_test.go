package certified

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"laurel/client"
	"laurel/client/verify"
	"laurel/internal/testwitness"
	"laurel/score"
	"laurel/witness"
)

// notes collects what is written.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// shown is a watch of A/1 and of the medals of A, in a group that certifies.
type shown struct {
	*testwitness.Group
	Watch
	notes   notes
	updates chan client.Update // of the frontend that is watched
	serves  atomic.Value       // http.HandlerFunc
	got     chan client.Update
	ended   chan error
}

func record(id string, revision int) string {
	return fmt.Sprintf(`{"contest_id":%q,"revision":%d}`+"\n", id, revision)
}

func show(t *testing.T) *shown {
	t.Helper()
	s := &shown{
		Group: testwitness.New(t, "games"), updates: make(chan client.Update), got: make(chan client.Update, 100),
		ended: make(chan error, 1),
	}
	s.Certify(map[string]string{"scores/A/1": record("A/1", 7), "medals/A": `{"competition":"A","revision":8,"rows":[]}`})
	s.serves.Store(http.HandlerFunc(s.ServeHTTP))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.serves.Load().(http.HandlerFunc)(w, r)
	}))
	t.Cleanup(server.Close)
	c, err := client.New([]string{server.URL}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s.Reader = verify.NewCertified(c, s.Policy, "")
	s.Reader.Timeout = time.Minute
	s.Contests, s.Medals, s.Notes = []string{"A/1"}, []string{"A"}, &s.notes
	return s
}

// run watches until the test ends.
func (s *shown) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for u, err := range s.Updates(ctx, s.stream(ctx)) {
			if err != nil {
				s.ended <- err
				return
			}
			s.got <- u
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (s *shown) stream(ctx context.Context) iter.Seq2[client.Update, error] {
	return func(yield func(client.Update, error) bool) {
		for {
			select {
			case u := <-s.updates:
				if !yield(u, nil) {
					return
				}
			case <-ctx.Done():
				yield(client.Update{}, ctx.Err())
				return
			}
		}
	}
}

// next returns the next contests and medal tables that are shown, by id.
func (s *shown) next(t *testing.T) string {
	t.Helper()
	for {
		select {
		case u := <-s.got:
			for _, r := range u.Scores {
				return fmt.Sprint(r.ContestID, " ", r.Revision)
			}
			for _, m := range u.Medals {
				return fmt.Sprint(m.Competition, " ", m.Revision)
			}
			for _, id := range u.Removed {
				return id + " removed"
			}
		case err := <-s.ended:
			t.Fatalf("the watch ended: %v", err)
		case <-time.After(time.Minute):
			t.Fatal("nothing is shown")
		}
	}
}

func (s *shown) begin(t *testing.T) {
	t.Helper()
	s.run(t)
	if first := []string{s.next(t), s.next(t)}; !strings.Contains(strings.Join(first, ","), "A/1 7") {
		t.Fatalf("it begins with %q", first)
	}
}

func TestOnlyWhatIsCertifiedIsShown(t *testing.T) {
	s := show(t)
	s.begin(t)
	// The frontend that is watched lies, and then tells the truth before it is certified.
	for _, revision := range []uint64{1 << 40, 9} {
		s.updates <- client.Update{Kind: client.UpdateScore, Scores: []score.Record{{ContestID: "A/1", Revision: revision}}}
	}
	s.updates <- client.Update{Kind: client.UpdateRemoved, Removed: []string{"A/1"}}
	s.Certify(map[string]string{"scores/A/1": record("A/1", 9)})
	if got := s.next(t); got != "A/1 9" {
		t.Errorf("shown is %q", got)
	}
	if text := s.notes.String(); strings.Count(text, "certified by f1, f2, f3, f4, round 1") != 1 {
		t.Errorf("the notes are\n%s", text)
	}
}

func TestAFrontendThatKeepsUpdatesBackHidesNothing(t *testing.T) {
	s := show(t)
	s.begin(t)
	s.Certify(map[string]string{"scores/A/1": record("A/1", 9)})
	if got := s.next(t); got != "A/1 9" {
		t.Errorf("shown is %q", got)
	}
	s.Certify(map[string]string{"scores/A/1": ""})
	if got := s.next(t); got != "A/1 removed" {
		t.Errorf("shown is %q", got)
	}
}

func TestAWatchTellsWhenCertificatesStopAndGoOn(t *testing.T) {
	s := show(t)
	s.Reader.Timeout = witness.MaxAge // as that of the command
	s.begin(t)
	s.serves.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"code":"not_ready","status":503,"detail":"not yet"}`)
	}))
	s.await(t, "certificates have stopped: what is shown is as of ")
	s.Certify(map[string]string{"scores/A/1": record("A/1", 9)})
	s.serves.Store(http.HandlerFunc(s.ServeHTTP))
	if got := s.next(t); got != "A/1 9" {
		t.Errorf("shown is %q", got)
	}
	s.await(t, "round 2, as of")
	if text := s.notes.String(); strings.Count(text, "have stopped") != 1 {
		t.Errorf("the notes are\n%s", text)
	}
}

// await waits until the notes have a text.
func (s *shown) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.notes.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q; the notes are\n%s", text, s.notes.String())
		}
	}
}

func TestAWatchEndsWithAFork(t *testing.T) {
	s := show(t)
	s.begin(t)
	other := testwitness.New(t, "games")
	other.Certify(map[string]string{"scores/A/1": record("A/1", 10)})
	s.serves.Store(http.HandlerFunc(other.ServeHTTP))
	if err := <-s.ended; !errors.As(err, new(*witness.ForkError)) {
		t.Errorf("it ended with %v", err)
	}
}

func TestAWatchWithoutACertificateEndsAtTheStart(t *testing.T) {
	s := show(t)
	s.Reader.Timeout = 300 * time.Millisecond
	s.serves.Store(http.HandlerFunc(http.NotFound))
	s.run(t)
	if err := <-s.ended; !errors.As(err, new(*verify.UnverifiedError)) {
		t.Errorf("it ended with %v", err)
	}
}
