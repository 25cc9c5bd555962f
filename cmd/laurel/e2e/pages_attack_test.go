package e2e

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// A web page that a user of an insecure group visits attacks the group from that user's
// browser, which is on the machine of the frontends. evil.example is the page's host: its
// owner decides to which address the name leads.
const evil = "evil.example"

// attempt is a request that a page makes.
type attempt struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Type   string `json:"type"` // Content-Type; "" for none
	Body   string `json:"body"`
	// Status is what the page was shown, 0 if the browser gave it no answer.
	Status int    `json:"status"`
	Answer string `json:"answer"`
	// Again has the statuses after which the page tries again: those of a busy machine.
	Again []int `json:"again"`
}

// pageScript makes the attempts and reports them.
const pageScript = `<!doctype html><title>a page</title><script>
(async () => {
	const attempts = await (await fetch('/attempts')).json();
	for (const a of attempts) {
		const init = {method: a.method, headers: {}};
		if (a.body) init.body = a.body;
		if (a.type) init.headers['Content-Type'] = a.type;
		do {
			a.status = 0;
			try {
				const res = await fetch(a.url, init);
				a.status = res.status;
				a.answer = (await res.text()).slice(0, 300);
			} catch (e) {
				a.answer = String(e);
			}
		} while (a.again.includes(a.status));
	}
	await fetch('/done', {method: 'POST', body: JSON.stringify(attempts)});
})();
</script>`

// evilPage is the server of a page. What the page asks for under other paths than its own
// goes to a frontend as the browser has sent it, as if the name led there now.
type evilPage struct {
	t        *testing.T
	addr     string
	attempts []attempt
	done     chan []attempt
}

func newEvilPage(t *testing.T, rebound string) *evilPage {
	t.Helper()
	p := &evilPage{t: t, done: make(chan []attempt, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, pageScript)
	})
	mux.HandleFunc("GET /attempts", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.MarshalWrite(w, p.attempts)
	})
	mux.HandleFunc("POST /done", func(_ http.ResponseWriter, r *http.Request) {
		var list []attempt
		if err := json.UnmarshalRead(r.Body, &list); err != nil {
			t.Error(err)
		}
		p.done <- list
	})
	mux.Handle("/", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: rebound})
			r.Out.Host = r.In.Host
		},
		ErrorLog: log.New(io.Discard, "", 0), // a frontend may close the connection
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p.addr = net.JoinHostPort(evil, port)
	return p
}

// visit has Chromium load the page, and returns what came of its attempts.
func (p *evilPage) visit(attempts ...attempt) []attempt {
	t := p.t
	t.Helper()
	p.attempts = attempts
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	defer browse(ctx, t, "http://"+p.addr+"/page", "--host-resolver-rules=MAP "+evil+" 127.0.0.1")()
	select {
	case list := <-p.done:
		return list
	case <-ctx.Done():
		t.Fatal("the page did not come to its end")
		return nil
	}
}

// operations are what an operator of an open store may do, by JSON and, without preflight,
// by text.
func operations(base string) (list []attempt) {
	for _, a := range []attempt{
		{Method: "POST", URL: "/v1/events", Body: `{"id":"false","type":"alert","contest_id":"OG50BC/evil","data":{"text":"false"}}`},
		{Method: "POST", URL: "/v1/access/grants", Body: `{"name":"evil","role":"operator"}`},
		{Method: "PUT", URL: "/v1/cluster/settings/cache_mode", Body: `{"value":"pull"}`},
		{Method: "POST", URL: "/v1/cluster/transfer", Body: `{}`},
		{Method: "POST", URL: "/v1/cluster/members", Body: `{"id":"f9","peer":"127.0.0.1:1","url":"http://127.0.0.1:1"}`},
		{Method: "DELETE", URL: "/v1/cluster/members/f2"},
		{Method: "DELETE", URL: "/v1/cluster/members/f3?force=true"},
		{Method: "GET", URL: "/v1/access"},
		{Method: "GET", URL: "/v1/audit"},
	} {
		a.URL = base + a.URL
		if a.Body == "" {
			list = append(list, a)
			continue
		}
		for _, a.Type = range []string{"application/json", "text/plain"} {
			list = append(list, a)
		}
	}
	return list
}

// pageTest is an insecure group that web pages attack.
type pageTest struct {
	*group
	t      *testing.T
	before score.Frontends
	posts  int
}

func newPageTest(t *testing.T) *pageTest {
	t.Helper()
	// The browser shares the machine with the group and with other tests.
	g := &pageTest{group: newGroup(t, 3, "LAUREL_TIME_SCALE=8"), t: t}
	g.post()
	g.before, _ = g.master().status()
	return g
}

// post posts an event at each frontend, and expects each to show it.
func (g *pageTest) post() {
	g.t.Helper()
	for _, f := range g.frontends {
		g.posts++
		apply(g.t, f, fmt.Sprintf(`{"source":"bard/honest","seq":%d,"type":"alert","contest_id":"OG50BC/rain","data":{"text":"rain"}}`, g.posts))
	}
	g.expectRevision(uint64(g.posts))
}

// transferCount matches the metric of requests to transfer leadership.
var transferCount = regexp.MustCompile(
	`(?m)^laurel_http_requests_total{method="POST",port="client",route="/v1/cluster/transfer",status="(\d+)"} (\d+)$`)

// refusedTransfers returns an error unless the metrics of f, which may be a moment old, have n
// requests to transfer leadership that it forbade. Any other answer to one fails the test. That the
// master is another one would tell nothing: on a busy machine the leadership moves by itself.
func (f *frontend) refusedTransfers(t testing.TB, n int) error {
	t.Helper()
	a, err := tryGet(f.url + "/metrics")
	if err != nil {
		return err
	}
	refused := 0
	for _, m := range transferCount.FindAllStringSubmatch(a.body, -1) {
		switch {
		case m[1] == strconv.Itoa(http.StatusForbidden):
			refused, _ = strconv.Atoi(m[2])
		case m[2] != "0":
			t.Fatalf("%s has answered %s requests to transfer leadership with status %s", f.id, m[2], m[1])
		}
	}
	if refused < n {
		return fmt.Errorf("it has refused %d; want %d", refused, n)
	}
	return nil
}

// expectUnchanged fails the test unless the group is as it was, and goes on. Each frontend was
// asked transfers times to transfer leadership.
func (g *pageTest) expectUnchanged(transfers int) {
	g.t.Helper()
	g.expectRevision(uint64(g.posts))
	now, err := g.master().status()
	if err != nil {
		g.t.Fatal(err)
	}
	if now.Mode != g.before.Mode || len(now.Frontends) != len(g.before.Frontends) {
		g.t.Errorf("the group was\n%+v\nand is now\n%+v", g.before, now)
	}
	for _, f := range g.frontends {
		eventually(g.t, f.id+" refused to transfer leadership", func() error { return f.refusedTransfers(g.t, transfers) })
	}
	if a := get(g.t, g.frontends[0].url+"/v1/access"); strings.Contains(a.body, "evil") {
		g.t.Errorf("the page has made a grant: %s", a.body)
	}
	g.post()
}

// The owner of the name of a page may let it lead to this machine after the page was
// loaded. For the browser, the frontend then is the page's own server.
func TestAReboundPageDoesNothingInAnOpenGroup(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newPageTest(t)
	for _, f := range g.frontends {
		p := newEvilPage(t, f.http)
		list := append(operations(""), attempt{Method: "GET", URL: "/v1/scores"}, attempt{Method: "GET", URL: "/metrics"})
		for i := range list {
			list[i].Again = []int{http.StatusBadGateway, http.StatusServiceUnavailable}
		}
		for _, a := range p.visit(list...) {
			if a.Status < 400 || a.Status >= 500 {
				t.Errorf("%s %s %s: the page got %d %s", a.Method, a.URL, a.Type, a.Status, a.Answer)
			}
		}
	}
	// A page chooses with which letter its method begins.
	for _, f := range g.frontends {
		p := newEvilPage(t, f.peer)
		var list []attempt
		for _, a := range append(operations(""), attempt{Method: "POST", URL: "/peer/v1/posts", Body: "{}"},
			attempt{Method: "GET", URL: "/peer/v1/status"}) {
			a.Method = "H" + a.Method
			list = append(list, a)
		}
		for _, a := range p.visit(list...) {
			// A frontend that closes the connection is a 502 of the proxy in this test.
			if a.Status < 400 || a.Status >= 500 && a.Status != http.StatusBadGateway {
				t.Errorf("peer port: %s %s %s: the page got %d %s", a.Method, a.URL, a.Type, a.Status, a.Answer)
			}
		}
	}
	g.expectUnchanged(2)
}

// A page of another origin asks the browser to send requests to a frontend, some of which
// the browser announces by a preflight.
func TestAForeignPageChangesNothingInAnOpenGroup(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newPageTest(t)
	p := newEvilPage(t, "127.0.0.1:1")
	var list []attempt
	for _, f := range g.frontends {
		list = append(list, operations(f.url)...)
		list = append(list, attempt{Method: "GET", URL: f.url + "/v1/scores",
			Again: []int{0, http.StatusServiceUnavailable}})
	}
	for _, a := range p.visit(list...) {
		scores := strings.HasSuffix(a.URL, "/v1/scores") // which anybody may read
		if shown := a.Status/100 == 2; shown != scores {
			t.Errorf("%s %s %s: the page got %d %s", a.Method, a.URL, a.Type, a.Status, a.Answer)
		}
	}
	g.expectUnchanged(1) // the other was only announced
}
