package demo

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/client"
	"laurel/score"
)

// scripted is a frontend that answers each post with the next problem, or with success
// where that is nil.
type scripted struct {
	answers []*score.Problem
	lastSeq uint64
	got     []score.Event
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/v1/bards/") {
		fmt.Fprintf(w, `{"source":"","last_seq":%d,"last_id":""}`, s.lastSeq)
		return
	}
	if r.URL.Path != "/v1/events" {
		http.NotFound(w, r)
		return
	}
	b, err := io.ReadAll(r.Body)
	e, p := score.Decode(b)
	if err != nil || p != nil {
		panic(fmt.Sprint(err, p))
	}
	s.got = append(s.got, e)
	if p := s.answers[len(s.got)-1]; p != nil {
		w.WriteHeader(p.Status)
		_ = json.MarshalWrite(w, p)
		return
	}
	fmt.Fprintf(w, `{"revision":1,"results":[{"id":%q,"seq":%d,"revision":%d,"status":"applied"}]}`, e.ID, e.Seq,
		len(s.got))
}

func newTestDemo(t *testing.T, s *scripted) (*demo, *bytes.Buffer) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	// A post that is answered late is not sent a second time, which would be counted.
	c, err := client.New([]string{server.URL}, client.Options{Timeout: time.Minute, AttemptTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var b bytes.Buffer
	return &demo{out: newPrinter(&b), client: c, seqs: map[string]uint64{}}, &b
}

func TestAnEventIsPostedUnderOneSeqUntilItIsDurable(t *testing.T) {
	s := &scripted{answers: []*score.Problem{score.Problemf(score.NoMaster, "not now"),
		score.Problemf(score.RateLimited, "slowly"), nil, nil}}
	d, _ := newTestDemo(t, s)
	games := newPlaylist()
	first, _ := games.next()
	second, _ := games.next()
	for _, e := range []score.Event{first, second} {
		if _, ok := d.post(t.Context(), &e); !ok {
			t.Errorf("%s was given up", e.ID)
		}
	}
	var seqs []uint64
	for _, e := range s.got {
		seqs = append(seqs, e.Seq)
	}
	if got := fmt.Sprint(seqs); got != "[1 1 1 2]" {
		t.Errorf("the seqs were %s; want [1 1 1 2]", got)
	}
}

func TestAfterARefusalThePostsContinueAtTheSeqOfTheStore(t *testing.T) {
	s := &scripted{lastSeq: 7, answers: []*score.Problem{nil, score.Problemf(score.IDConflict, "somebody has used it"),
		nil}}
	d, printed := newTestDemo(t, s)
	games := newPlaylist()
	var accepted []bool
	for len(accepted) < 3 {
		e, _ := games.next()
		e.Source = "bard/cacofonix"
		_, ok := d.post(t.Context(), &e)
		accepted = append(accepted, ok)
	}
	if fmt.Sprint(accepted) != "[true false true]" {
		t.Errorf("accepted: %v; want the second to be left out", accepted)
	}
	if got := s.got[2].Seq; got != 8 {
		t.Errorf("the posts continue with seq %d; want 8", got)
	}
	if !strings.Contains(printed.String(), "somebody has used it") {
		t.Errorf("the demo does not print why:\n%s", printed)
	}
}
