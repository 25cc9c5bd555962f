package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"laurel/client"
	"laurel/score"
)

// transport answers requests without a network, so a test can run in virtual time.
type transport func(r *http.Request) (status int, body io.ReadCloser, err error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body, err := f(r)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if status == http.StatusOK && r.URL.Path == "/v1/watch" {
		header.Set("Content-Type", "text/event-stream")
	}
	if status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "3")
	}
	if body == nil {
		body = io.NopCloser(strings.NewReader(""))
	}
	return &http.Response{StatusCode: status, Header: header, Body: body, Request: r}, nil
}

// newTransportClient returns a client of http://f1, whose requests f answers.
func newTransportClient(f transport) (*client.Client, error) {
	return client.New([]string{"http://f1"}, client.Options{Transport: f})
}

// hangingBody returns a body that begins with first, has what is written to w, and ends
// with the request.
func hangingBody(r *http.Request, first string) (io.ReadCloser, *io.PipeWriter) {
	body, w := io.Pipe()
	context.AfterFunc(r.Context(), func() { w.CloseWithError(r.Context().Err()) })
	go io.WriteString(w, first)
	return body, w
}

func TestSilentStreamIsLostAfterTwelveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := 0
		c, err := newTransportClient(func(r *http.Request) (int, io.ReadCloser, error) {
			if r.URL.Path != "/v1/watch" {
				return 404, nil, nil
			}
			streams++
			body, w := hangingBody(r, "retry: 100\n\n")
			go func() {
				for range 4 {
					<-time.After(11 * time.Second) // just in time
					io.WriteString(w, "event: heartbeat\ndata: {}\n\n")
				}
			}()
			return 200, body, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begun := time.Now()
		for u, err := range c.Watch(t.Context(), client.WatchOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if u.Kind == client.UpdateHeartbeat {
				<-time.After(time.Minute) // a slow caller does not make the frontend silent
				begun = begun.Add(time.Minute)
			}
			if u.Kind == client.UpdateLost {
				// All four heartbeats were sent while the caller had the first, then
				// nothing.
				took := time.Since(begun)
				silent := strings.Contains(u.Err.Error(), "sent nothing for 12s")
				if took < 12*time.Second || took > 36*time.Second || !silent {
					t.Errorf("lost after %s: %v", took, u.Err)
				}
				if u.Wait >= 100*time.Millisecond {
					t.Errorf("waits for %s; want less than the 100 ms that the frontend asked for", u.Wait)
				}
				break
			}
		}
		if streams != 1 {
			t.Errorf("%d streams; want 1", streams)
		}
	})
}

func TestWaitsAreRandomAndGrowFromTheRetryOfTheFrontend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shortest, longest := time.Hour, time.Duration(0)
		var late time.Duration
		for range 200 {
			first := true
			answer := func(r *http.Request) (int, io.ReadCloser, error) {
				if r.URL.Path == "/v1/watch" && first {
					first = false
					return 200, io.NopCloser(strings.NewReader("retry: 400\n\n")), nil
				}
				return 0, nil, errors.New("no connection")
			}
			urls := []string{"http://f1", "http://f2"}
			c, err := client.New(urls, client.Options{Transport: transport(answer)})
			if err != nil {
				t.Fatal(err)
			}
			var waits []time.Duration
			for u := range c.Watch(t.Context(), client.WatchOptions{}) {
				if u.Kind != client.UpdateLost {
					continue
				}
				if waits = append(waits, u.Wait); len(waits) == 8 {
					break
				}
			}
			c.Close()
			for i, w := range waits {
				if bound := min(400*time.Millisecond<<i, 10*time.Second); w < 0 || w >= bound {
					t.Fatalf("wait %d is %s; want less than %s", i, w, bound)
				}
			}
			shortest, longest, late = min(shortest, waits[0]), max(longest, waits[0]), max(late, waits[7])
		}
		if shortest > 40*time.Millisecond || longest < 360*time.Millisecond || late < 5*time.Second {
			t.Errorf("200 clients wait %s to %s, and at most %s the eighth time; "+
				"want all of 0 to 400 ms, and up to 10 s", shortest, longest, late)
		}
	})
}

func TestRetryAfterIsRespected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Time
		c, err := newTransportClient(func(r *http.Request) (int, io.ReadCloser, error) {
			if r.URL.Path != "/v1/watch" {
				return 404, nil, nil
			}
			asked = append(asked, time.Now())
			return 503, nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		losses := 0
		for range c.Watch(t.Context(), client.WatchOptions{}) {
			if losses++; losses == 6 {
				break
			}
		}
		for i := 1; i < len(asked); i++ {
			if d := asked[i].Sub(asked[i-1]); d < 3*time.Second {
				t.Errorf("tried again after %s; want 3 s and more", d)
			}
		}
		if len(asked) < 3 {
			t.Errorf("tried %d times; want more", len(asked))
		}
	})
}

// answered is a transport that returns whole responses.
type answered func(r *http.Request) *http.Response

func (f answered) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// A frontend that has no place for an EventSource does not answer with 503, after which
// that would not reconnect. The client is no EventSource, but asks as one.
func TestAStreamThatIsUnavailableCountsAsARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Time
		full := "retry: 2500\n: full\nevent: unavailable\ndata: {\"code\":\"not_ready\",\"status\":503,\"detail\":\"full\"}\n\n"
		var notices []client.NoticeKind
		c, err := client.New([]string{"http://f1"}, client.Options{
			Notify: func(n client.Notice) { notices = append(notices, n.Kind) },
			Transport: answered(func(r *http.Request) *http.Response {
				resp := &http.Response{StatusCode: 404, Header: http.Header{}, Body: http.NoBody, Request: r}
				if r.URL.Path == "/v1/watch" {
					asked = append(asked, time.Now())
					resp.StatusCode, resp.Body = 200, io.NopCloser(strings.NewReader(full))
					resp.Header.Set("Content-Type", "text/event-stream")
					resp.Header.Set("Retry-After", "3")
				}
				return resp
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		losses := 0
		for u := range c.Watch(t.Context(), client.WatchOptions{}) {
			var p *score.Problem
			if u.Kind != client.UpdateLost || losses == 0 && (!errors.As(u.Err, &p) || p.Code != score.NotReady || p.Detail != "full") {
				t.Errorf("got %s with %v; want the problem, and no connection", u.Kind, u.Err)
			}
			if losses++; losses == 6 {
				break
			}
		}
		for i := 1; i < len(asked); i++ {
			if d := asked[i].Sub(asked[i-1]); d < 3*time.Second {
				t.Errorf("tried again after %s; want 3 s and more", d)
			}
		}
		if len(asked) < 3 || !slices.Contains(notices, client.NoticeRefused) || slices.Contains(notices, client.NoticeConnected) {
			t.Errorf("tried %d times, with the notices %v", len(asked), notices)
		}
	})
}

func TestEventThatWasCutOffIsReceivedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		c, err := newTransportClient(func(r *http.Request) (int, io.ReadCloser, error) {
			if r.URL.Path != "/v1/watch" {
				return 404, nil, nil
			}
			ids = append(ids, r.Header.Get("Last-Event-ID"))
			record := func(n uint64) string {
				return fmt.Sprintf("event: score\r\ndata: {\"contest_id\":\"A/1\",\r\ndata: \"revision\":%d}\r\n", n)
			}
			switch len(ids) {
			case 1:
				first := ": hello\n\nevent: snapshot\ndata: {}\nid: a-4\n\n" +
					record(5) + "\n" + record(6) + "id: a-6\n"
				return 200, io.NopCloser(strings.NewReader(first)), nil
			default:
				body, _ := hangingBody(r, record(5)+"\n"+record(6)+"id: a-6\n\nevent: future\ndata: ?\n\n"+
					record(7)+"id: a-7\n\n")
				return 200, body, nil
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var got []uint64
		for u := range c.Watch(t.Context(), client.WatchOptions{}) {
			if u.Kind == client.UpdateScore {
				got = append(got, u.Scores[0].Revision)
			}
			if len(got) == 3 {
				break
			}
		}
		if fmt.Sprint(got) != "[5 6 7]" || fmt.Sprint(ids) != "[ a-4]" {
			t.Errorf("got revisions %v, resumed with %q; want each once, and the id of the last whole batch", got, ids)
		}
	})
}
