package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
)

func inUse(addr string) bool {
	syscall.ForkLock.RLock() // a process that is just starting would have the socket for a moment
	defer syscall.ForkLock.RUnlock()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return true
	}
	l.Close()
	return false
}

var web = &http.Client{
	Timeout:   30 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Second},
}

// answer is an HTTP answer with its whole body.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends one request once. headers alternates names and values. A GET is sent again if the
// frontend closes the connection instead: it does so if this process, held up by a busy
// machine, is silent for 5 s.
func ask(method, url, body string, headers ...string) (answer, error) {
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, url, b)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := web.Do(r)
	for n := 0; n < 2 && method == "GET" && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)); n++ {
		res, err = web.Do(r)
	}
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(read)}, err
}

// get repeats a request while the frontend answers 503. Any other status than 200 fails
// the test.
func get(t testing.TB, url string, headers ...string) answer {
	t.Helper()
	a, err := tryGet(url, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func tryGet(url string, headers ...string) (a answer, err error) {
	final := error(nil)
	err = poll(patience, func() error {
		var err error
		if a, err = ask("GET", url, "", headers...); err != nil {
			return err
		}
		switch a.status {
		case http.StatusServiceUnavailable:
			return fmt.Errorf("GET %s: %d %s", url, a.status, a.body)
		case http.StatusOK:
		default:
			final = fmt.Errorf("GET %s: %d %s", url, a.status, a.body)
		}
		return nil
	})
	return a, errors.Join(err, final)
}

// decode unmarshals a JSON answer. Members that T does not have are ignored, as the
// interface may grow.
func decode[T any](t testing.TB, a answer) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("the answer is not the JSON of a %T: %v\n%s", v, err, a.body)
	}
	return v
}

type posted struct {
	Revision uint64         `json:"revision"`
	Results  []score.Result `json:"results"`
}

// post posts events as JSON, and repeats that while the frontend answers 503: a master that a
// busy machine holds up loses its office, and then the outcome may be unknown.
func post(t testing.TB, f *frontend, body string) (a answer) {
	t.Helper()
	eventually(t, f.id+" answers a post", func() (err error) {
		a, err = ask("POST", f.url+"/v1/events", body, "Content-Type", "application/json")
		if err == nil && a.status == http.StatusServiceUnavailable {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	return a
}

// identified returns events of which each has an id, or a seq, so that none counts twice when it
// is posted again.
func identified(t testing.TB, body string) string {
	t.Helper()
	list := strings.HasPrefix(body, "[")
	if !list {
		body = "[" + body + "]"
	}
	var events []map[string]jsontext.Value
	if err := json.Unmarshal([]byte(body), &events); err != nil {
		t.Fatalf("events to post: %v\n%s", err, body)
	}
	for _, e := range events {
		if e["id"] == nil && e["seq"] == nil {
			e["id"] = jsontext.Value(`"` + strings.ToLower(rand.Text()) + `"`)
		}
	}
	var encoded []byte
	var err error
	if list {
		encoded, err = json.Marshal(events)
	} else {
		encoded, err = json.Marshal(events[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// apply posts events that must be accepted. They count once, however often that takes.
func apply(t testing.TB, f *frontend, body string) posted {
	t.Helper()
	a := post(t, f, identified(t, body))
	if a.status != http.StatusOK {
		t.Fatalf("posting to %s: %d %s\nthe event: %s", f.id, a.status, a.body, body)
	}
	return decode[posted](t, a)
}

// refused posts an event that must be refused with a code.
func refused(t testing.TB, f *frontend, want score.Code, body string) score.Problem {
	t.Helper()
	a := post(t, f, body)
	p := problem(t, a, want)
	if p.Detail == "" {
		t.Errorf("the problem has no detail: %s", a.body)
	}
	return p
}

func problem(t testing.TB, a answer, want score.Code) score.Problem {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("Content-Type %q; want application/problem+json\n%d %s", got, a.status, a.body)
	}
	p := decode[score.Problem](t, a)
	if p.Code != want || a.status != want.HTTPStatus() {
		t.Fatalf("got status %d and code %q; want %d and %q\n%s", a.status, p.Code, want.HTTPStatus(), want, a.body)
	}
	return p
}

// results returns the lines of the answer to an NDJSON stream.
func results(t testing.TB, a answer) iter.Seq[score.Result] {
	return func(yield func(score.Result) bool) {
		t.Helper()
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		for line := range strings.Lines(a.body) {
			var r score.Result
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("a line of the answer is no result: %v\n%s", err, line)
			}
			if !yield(r) {
				return
			}
		}
	}
}
