package httpapi

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"laurel/httpapi/admission"
	"laurel/score"
	"laurel/trust/access"
)

// bothProtocols returns servers of an API for HTTP/1.1 and HTTP/2.
func bothProtocols(t *testing.T, a *API) map[string]*httptest.Server {
	s := httptest.NewUnstartedServer(nil)
	s.Config = a.Server(a.Handler())
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return map[string]*httptest.Server{"HTTP/1.1": clientOfFront(t, a, "http"), "HTTP/2": s}
}

// lastResult reads an answer to its end and returns its last result.
func lastResult(t *testing.T, r *bufio.Reader) score.Result {
	t.Helper()
	body, err := io.ReadAll(r)
	list := results(t, string(body))
	if err != nil || len(list) == 0 {
		t.Fatalf("got %q, %v", body, err)
	}
	return list[len(list)-1]
}

// clientOfFront returns a server of an API with its fast path, whose client speaks HTTP/1.1.
func clientOfFront(t *testing.T, a *API, scheme string) *httptest.Server {
	s := httptest.NewServer(nil) // of which only the client is used
	t.Cleanup(s.Close)
	s.Client().Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	s.URL = scheme + "://" + serveFront(t, a)
	return s
}

// drip writes blank lines until that fails.
func drip(in io.Writer) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := io.WriteString(in, "\n"); err != nil {
			return
		}
	}
}

// A system that closes a connection with unread bytes breaks it off.
func TestAClientThatGoesOnSendingGetsTheWholeAnswerOfItsStream(t *testing.T) {
	_, a := newTestAPI(t, Options{TLS: &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}})
	a.admission.Bodies.Linger = patience // a busy machine reads the answer late
	for _, scheme := range []string{"http", "https"} {
		s := clientOfFront(t, a, scheme)
		for range 10 {
			in, answer := talk(t, s)
			send(t, in, alert("a", ""), alert("b", "refuse"))
			go func() {
				for lines, err := strings.Repeat("\n", 64<<10), error(nil); err == nil; {
					_, err = io.WriteString(in, lines)
				}
			}()
			_, out := answer()
			if r := lastResult(t, out); r.ID != "b" || r.Problem == nil {
				t.Errorf("%s: the answer ends with %+v", scheme, r)
			}
		}
	}
}

func TestASilentStreamEndsWhateverBlankLinesCome(t *testing.T) {
	_, a := newTestAPI(t, limited(admission.Limits{FirstEventTimeout: 100 * time.Millisecond}))
	a.admission.Bodies.Linger = patience // a busy machine reads the answer late
	for name, s := range bothProtocols(t, a) {
		t.Run(name, func(t *testing.T) {
			in, answer := talk(t, s)
			go drip(in)
			_, out := answer()
			const want = "no event came in time"
			if r := lastResult(t, out); r.Problem == nil || !strings.Contains(r.Problem.Detail, want) {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestAStreamWithATokenMayBeSilentAtFirst(t *testing.T) {
	c, a, s := guardedServer(t, limited(admission.Limits{FirstEventTimeout: 50 * time.Millisecond}))
	in, answer := talk(t, s, bearer(c.bard))
	send(t, in, "")
	eventually(t, "the stream has begun", func() bool { return streamsUnderWay(a) == 1 })
	stranger, strangersAnswer := talk(t, s) // which ends when the other could have
	defer stranger.Close()
	_, out := strangersAnswer()
	if r := lastResult(t, out); r.Problem == nil {
		t.Errorf("got %+v", r)
	}
	send(t, in, alert("a", ""))
	in.Close()
	_, out = answer()
	if r := lastResult(t, out); r.Status != score.Applied {
		t.Errorf("got %+v", r)
	}
}

func TestAStrangersStreamIsToldThatItLostItsPlace(t *testing.T) {
	c, a, _ := guardedServer(t, limited(admission.Limits{MaxStreams: 1}))
	for name, s := range bothProtocols(t, a) {
		t.Run(name, func(t *testing.T) {
			stranger, answer := talk(t, s)
			defer stranger.Close()
			send(t, stranger, "")
			eventually(t, "the stream has begun", func() bool { return streamsUnderWay(a) == 1 })
			got := ask(t, s, "POST", "/v1/events", alert(name, "")+"\n", isNDJSON, bearer(c.bard))
			if all := results(t, got.body); got.StatusCode != 200 || len(all) != 1 || all[0].Status != score.Applied {
				t.Errorf("the bard: got %d %s", got.StatusCode, got.body)
			}
			_, out := answer()
			if r := lastResult(t, out); r.Problem == nil || r.Problem.Code != score.RateLimited {
				t.Errorf("the stranger: got %+v", r)
			}
			eventually(t, "the streams have ended", func() bool { return streamsUnderWay(a) == 0 })
		})
	}
}

// Anybody can copy signed events from a timeline.
func TestEventsThatWereAppliedBeforeProveNothing(t *testing.T) {
	c, a, s := guardedServer(t, limited(admission.Limits{MaxStreams: 1}))
	status := score.Duplicate
	c.group.post = func(p score.Post) (list []score.Result, err error) {
		for _, e := range p.Events {
			r := score.Result{ID: e.ID, Seq: e.Seq, Revision: 1, Status: score.Applied}
			if e.Key != "" {
				r.Status = status
			}
			list = append(list, r)
		}
		return list, nil
	}
	_, event := signedEvent(t, c.private, "bard/assurancetourix", 1, "clack")
	token := func() *readResponse {
		return ask(t, s, "POST", "/v1/events", alert("a", "")+"\n", isNDJSON, bearer(c.bard))
	}
	copied, answer := talk(t, s)
	defer copied.Close()
	send(t, copied, event)
	_, out := answer()
	if r := line(t, out); r.Status != score.Duplicate {
		t.Fatalf("got %+v", r)
	}
	if got := token(); got.StatusCode != http.StatusOK {
		t.Errorf("beside a stream of copied events: got %d %s", got.StatusCode, got.body)
	}
	if r := lastResult(t, out); r.Problem == nil || r.Problem.Code != score.RateLimited {
		t.Errorf("the stream of copied events: got %+v", r)
	}
	eventually(t, "the streams have ended", func() bool { return streamsUnderWay(a) == 0 })

	status = score.Applied
	bard, answer := talk(t, s)
	send(t, bard, event)
	_, out = answer()
	line(t, out)
	send(t, bard, event) // when it is answered, the first one has proven the stream
	line(t, out)
	if got := token(); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("beside the stream of a bard: got %d %s", got.StatusCode, got.body)
	}
	send(t, bard, "", event)
	bard.Close()
	if r := lastResult(t, out); r.Status != score.Applied {
		t.Errorf("the bard's stream: got %+v", r)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// A stream waits for the rate of the key that signed its events, from any address.
func TestAStrangersStreamGivesItsPlaceWhileItWaits(t *testing.T) {
	c, a, _ := guardedServer(t, limited(admission.Limits{MaxStreams: 1}))
	slow := &access.Grant{
		ID: score.KeyID(publicOf(c.other)), Name: "bard/other", Role: access.RoleBard, Public: publicOf(c.other), Rate: 0.001,
	}
	if err := c.group.ChangeAccess(t.Context(), access.Change{At: time.Now(), By: "test", Grant: slow}); err != nil {
		t.Fatal(err)
	}
	c.group.post = func(p score.Post) (list []score.Result, err error) {
		for _, e := range p.Events {
			r := score.Result{ID: e.ID, Seq: e.Seq, Revision: 1, Status: score.Applied}
			if e.Key != "" {
				r.Status = score.Duplicate
			}
			list = append(list, r)
		}
		return list, nil
	}
	_, first := signedEvent(t, c.other, "bard/other", 1, "clack")
	_, second := signedEvent(t, c.other, "bard/other", 2, "clack")
	for name, s := range bothProtocols(t, a) {
		for _, ended := range []bool{false, true} {
			stranger, answer := talk(t, s)
			defer stranger.Close()
			send(t, stranger, first, second)
			if ended {
				stranger.Close()
			}
			eventually(t, "the stream has begun", func() bool { return streamsUnderWay(a) == 1 })
			got := ask(t, s, "POST", "/v1/events", alert(name, "")+"\n", isNDJSON, bearer(c.bard))
			if all := results(t, got.body); got.StatusCode != 200 || len(all) != 1 || all[0].Status != score.Applied {
				t.Errorf("%s, ended %t: the bard got %d %s", name, ended, got.StatusCode, got.body)
			}
			res, out := answer()
			body, err := io.ReadAll(out)
			if err != nil || !strings.Contains(string(body), string(score.RateLimited)) {
				t.Errorf("%s, ended %t: the stranger got %s %s %v", name, ended, res.Status, body, err)
			}
			eventually(t, "the streams have ended", func() bool { return streamsUnderWay(a) == 0 })
		}
	}
}
