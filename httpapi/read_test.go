package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/cache"
	"laurel/score"
	"laurel/score/mark"
)

const contest = "OG50BC/CUR-M-GPA-01"

func TestReadHasItsHeaderFields(t *testing.T) {
	_, s := start(t)
	for path, revision := range map[string]string{
		"/v1/scores/" + contest: revisionText(scoreRevision), "/v1/scores": revisionText(lastRevision),
		"/v1/timeline/" + contest: revisionText(lastRevision),
		"/v1/medals/OG50BC":       revisionText(medalsRevision), "/v1/medals/OG50BC/GAU": revisionText(medalsRevision),
		"/v1/bards/bard/cacofonix": revisionText(lastRevision),
	} {
		a := ask(t, s, "GET", path, "")
		want := map[string]string{"Laurel-Revision": revision, "Laurel-Frontend": "f1", "Laurel-Cache": "load",
			"Laurel-Mode":   "push",
			"Cache-Control": "no-cache", "Vary": "Accept", "Content-Type": "application/json"}
		for name, value := range want {
			if got := a.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q; want %q", path, name, got, value)
			}
		}
		if a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("ETag"), `"`) {
			t.Errorf("%s: got %d with ETag %q", path, a.StatusCode, a.Header.Get("ETag"))
		}
	}
}

func TestContestIsAnsweredInTheFormOfTheInterface(t *testing.T) {
	_, s := start(t)
	a := ask(t, s, "GET", "/v1/scores/"+contest, "")
	var rec score.Record
	if err := json.Unmarshal([]byte(a.body), &rec, json.RejectUnknownMembers(true)); err != nil ||
		rec.ContestID != contest || *rec.Competitors[0].Result != mark.Points(2) {
		t.Errorf("got %s, %v", a.body, err)
	}
	if escaped := ask(t, s, "GET", "/v1/scores/OG50BC%2FCUR-M-GPA-01", ""); escaped.body != a.body {
		t.Errorf("with an escaped slash: got %d %s", escaped.StatusCode, escaped.body)
	}
}

func TestUnchangedAnswerIsNotSentAgain(t *testing.T) {
	g, s := start(t)
	first := ask(t, s, "GET", "/v1/scores/"+contest, "")
	tag := first.Header.Get("ETag")
	for _, list := range []string{tag, `"other", W/` + tag, "*"} {
		a := ask(t, s, "GET", "/v1/scores/"+contest, "", "If-None-Match: "+list)
		if a.StatusCode != http.StatusNotModified || a.body != "" || a.Header.Get("ETag") != tag ||
			a.Header.Get("Laurel-Revision") != revisionText(scoreRevision) {
			t.Errorf("%s: got %d %q %v", list, a.StatusCode, a.body, a.Header)
		}
	}
	if a := ask(t, s, "GET", "/v1/scores/"+contest, "", "If-None-Match: "+tag,
		"Accept: text/plain"); a.StatusCode != 200 {
		t.Errorf("the table has the tag of the JSON")
	}
	g.store.post(`{"type":"contest.status","contest_id":"OG50BC/CUR-M-GPA-01","data":{"clock":"12:00"}}`)
	if a := ask(t, s, "GET", "/v1/scores/"+contest, "", "If-None-Match: "+tag); a.StatusCode != 200 ||
		a.Header.Get("ETag") == tag {
		t.Errorf("a changed record: got %d %s", a.StatusCode, a.Header.Get("ETag"))
	}
}

func TestTagIsTheSameAtEveryFrontend(t *testing.T) {
	_, s1 := start(t)
	_, api := newTestAPIOf(t, "f2", Options{})
	s2 := serve(t, api, api.Handler())
	if a, b := ask(t, s1, "GET", "/v1/scores", ""), ask(t, s2, "GET", "/v1/scores",
		""); a.Header.Get("ETag") != b.Header.Get("ETag") || a.body != b.body {
		t.Error("two frontends with the same state answer differently")
	}
}

func TestHeadIsGetWithoutTheBody(t *testing.T) {
	_, s := start(t)
	for _, path := range []string{"/v1/scores/" + contest, "/v1/scores", "/v1/medals/OG50BC", "/v1/frontends", "/livez",
		"/", "/v1/scores/OG50BC/NO"} {
		get, head := ask(t, s, "GET", path, ""), ask(t, s, "HEAD", path, "")
		if head.StatusCode != get.StatusCode || head.body != "" {
			t.Errorf("%s: got %d with %q", path, head.StatusCode, head.body)
		}
		for _, name := range []string{"Content-Type", "Content-Length", "Etag", "Laurel-Revision", "Laurel-Cache"} {
			if head.Header.Get(name) != get.Header.Get(name) {
				t.Errorf("%s: %s is %q for HEAD and %q for GET", path, name, head.Header.Get(name),
					get.Header.Get(name))
			}
		}
	}
}

func TestPagesOfScoresAddUpToTheWhole(t *testing.T) {
	_, s := start(t)
	var ids []string
	after := ""
	for range 10 {
		var page struct {
			Scores []score.Record `json:"scores"`
			Next   string         `json:"next"`
		}
		a := ask(t, s, "GET", "/v1/scores?limit=1&after="+after, "")
		if err := json.Unmarshal([]byte(a.body), &page); err != nil {
			t.Fatal(err, a.body)
		}
		for _, r := range page.Scores {
			ids = append(ids, r.ContestID)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if got := strings.Join(ids, " "); got != "OG50BC/CUR-M-GPA-01 OG50BC/CUR-M-GPA-02 OG50BC/MAR" {
		t.Errorf("the pages have %s", got)
	}
}

func TestPagesOfATimelineAddUpToTheWhole(t *testing.T) {
	_, s := start(t)
	var ids string
	after := ""
	for range 10 {
		var page struct {
			Events []score.TimelineEvent `json:"events"`
			Next   string                `json:"next"`
		}
		a := ask(t, s, "GET", "/v1/timeline/"+contest+"?limit=2&after="+after, "")
		if err := json.Unmarshal([]byte(a.body), &page); err != nil {
			t.Fatal(err, a.body)
		}
		for _, e := range page.Events {
			ids += e.ID
			if (e.VoidedBy != 0) != (e.ID == "b") {
				t.Errorf("voided by: %+v", e)
			}
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if !strings.HasSuffix(ids, "abcde") || strings.Count(ids, "event-") != 3 {
		t.Errorf("the pages have %s", ids)
	}
}

// The revisions of a restored store are given again, to other events.
func TestACursorOfAnotherIncarnationBeginsTheTimelineAnew(t *testing.T) {
	_, s := start(t)
	page := func(after string) (body, next string) {
		var p struct {
			Next string `json:"next"`
		}
		a := ask(t, s, "GET", "/v1/timeline/"+contest+"?limit=2&after="+after, "")
		if err := json.Unmarshal([]byte(a.body), &p); err != nil {
			t.Fatal(err, a.body)
		}
		return a.body, p.Next
	}
	first, next := page("")
	incarnation, revision, _ := strings.Cut(next, "-")
	if second, _ := page(next); second == first || incarnation == "" {
		t.Fatalf("the cursor %q leads to %s", next, second)
	}
	if same, _ := page("another-" + revision); same != first {
		t.Errorf("got %s; want the beginning", same)
	}
}

func TestEmptyListIsAnEmptyArray(t *testing.T) {
	_, s := start(t)
	if a := ask(t, s, "GET", "/v1/scores?competition=OG2000", ""); a.body != `{"scores":[],"next":""}`+"\n" {
		t.Errorf("got %s", a.body)
	}
	if a := ask(t, s, "GET", "/v1/timeline/"+contest+"?after=99999", ""); a.body != `{"events":[],"next":""}`+"\n" {
		t.Errorf("got %s", a.body)
	}
}

func TestSourceThatHasNeverPostedIsAtZero(t *testing.T) {
	_, s := start(t)
	if a := ask(t, s, "GET", "/v1/bards/bard/new", ""); a.body != `{"source":"bard/new","last_seq":0,"last_id":""}`+"\n" {
		t.Errorf("got %s", a.body)
	}
	if a := ask(t, s, "GET", "/v1/bards/bard/cacofonix", ""); a.body != fmt.Sprintf(`{"source":"bard/cacofonix","last_seq":%d,"last_id":"e"}`+"\n", lastRevision) {
		t.Errorf("got %s", a.body)
	}
}

func TestMedalRowOfAKnownOrganisationWithoutMedalsIsZeros(t *testing.T) {
	_, s := start(t)
	if a := ask(t, s, "GET", "/v1/medals/OG50BC/BRI", ""); a.body != `{"organisation":"BRI","gold":0,"silver":0,"bronze":0,"total":0,"rank_equal":false}`+"\n" {
		t.Errorf("got %s", a.body)
	}
}

func TestMissingRecordIsNotFound(t *testing.T) {
	_, s := start(t)
	for _, path := range []string{"/v1/scores/OG50BC/NO", "/v1/scores/", "/v1/scores//OG50BC", "/v1/scores/../../etc",
		"/v1/scores/%0a", "/v1/scores/%ff%00", "/v1/timeline/OG50BC/NO",
		"/v1/medals/OG2000", "/v1/medals/OG50BC/XXX", "/v1/medals", "/v2/scores", "/v1/scores;x", "/favicon.ico", "//", "/v1/cluster/members/a/b"} {
		if p := ask(t, s, "GET", path, "").problem(t); p.Status != 404 || p.Code != score.NotFound {
			t.Errorf("%s: got %+v", path, p)
		}
	}
}

func TestBadParameterIsRefusedByName(t *testing.T) {
	_, s := start(t)
	for path, field := range map[string]string{
		"/v1/scores?limit=0": "limit", "/v1/scores?limit=1001": "limit", "/v1/scores?limit=ten": "limit",
		"/v1/scores?limit=99999999999999999999": "limit",
		"/v1/scores?competiton=OG50BC":          "competiton", "/v1/scores?sport=a&sport=b": "sport",
		"/v1/scores?status=running": "status", "/v1/scores?section=soon": "section",
		"/v1/scores?after=%00": "after", "/v1/scores?%00%ff=1": `\x00\xff`,
		"/v1/timeline/" + contest + "?after=-1": "after", "/v1/scores/" + contest + "?limit=1": "limit",
		"/v1/medals/OG50BC?x": "x", "/v1/bards/a%20b": "source", "/v1/bards/b?after=-1": "after", "/v1/startlist/a?after=1": "after", "/v1/bards/b?after=0&limit=0": "limit",
		"/v1/frontends?x=1": "x", "/v1/scores?limit=%zz": "", "/v1/bards/a//b": "source",
	} {
		if p := ask(t, s, "GET", path, "").problem(t); p.Status != 400 || p.Field != field {
			t.Errorf("%s: got %+v", path, p)
		}
	}
}

func TestWrongMethodGetsTheAllowedOnes(t *testing.T) {
	_, s := start(t)
	for path, allow := range map[string]string{"/v1/events": "POST", "/v1/scores": "GET, HEAD",
		"/v1/cluster/members/f1": "DELETE"} {
		a := ask(t, s, "PUT", path, "{}", isJSON)
		if p := a.problem(t); p.Status != 405 || p.Code != score.InvalidEvent || a.Header.Get("Allow") != allow {
			t.Errorf("%s: got %+v, Allow %q", path, p, a.Header.Get("Allow"))
		}
	}
}

func TestFrontendThatIsNotTheMasterForwardsReadsOnce(t *testing.T) {
	master, masterAPI := newTestAPI(t, Options{})
	peer := serve(t, masterAPI, masterAPI.ForwardedHandler())
	g, a := newTestAPIOf(t, "f2", Options{})
	g.elsewhere.Store(true)
	hops := 0
	g.forward = func(w http.ResponseWriter, r *http.Request) error {
		hops++
		res := ask(t, peer, r.Method, r.URL.RequestURI(), "", "If-None-Match: "+r.Header.Get("If-None-Match"),
			"Accept: "+r.Header.Get("Accept"), forwarded)
		for name, values := range res.Header {
			if name != "Laurel-Frontend" && name != "Laurel-Cache" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(res.StatusCode)
		_, err := io.WriteString(w, res.body)
		return err
	}
	s := serve(t, a, a.Handler())
	got := ask(t, s, "GET", "/v1/scores/"+contest, "")
	if got.StatusCode != 200 || got.Header.Get("Laurel-Cache") != "forward" ||
		got.Header.Get("Laurel-Frontend") != "f2" || got.Header.Get("Laurel-Revision") != revisionText(scoreRevision) {
		t.Errorf("got %d %v", got.StatusCode, got.Header)
	}
	if again := ask(t, s, "GET", "/v1/scores/"+contest, "", "If-None-Match: "+got.Header.Get("ETag")); again.StatusCode != 304 {
		t.Errorf("through a forward: got %d", again.StatusCode)
	}
	// The master has lost its mastership, but the other does not know yet: it must not come back.
	master.elsewhere.Store(true)
	master.forward = func(http.ResponseWriter, *http.Request) error {
		t.Error("a forwarded request was forwarded again")
		return errors.New("no")
	}
	for _, path := range []string{"/v1/scores", "/v1/medals/OG50BC"} {
		if p := ask(t, s, "GET", path, "").problem(t); p.Code != score.NoMaster {
			t.Errorf("got %+v", p)
		}
	}
	if hops != 4 {
		t.Errorf("%d hops for 4 requests", hops)
	}
	if p := ask(t, peer, "POST", "/v1/events", alert("a", ""), isJSON, forwarded).problem(t); p.Code != score.NoMaster {
		t.Errorf("a forwarded post at one that is not the master: got %+v", p)
	}
	if p := ask(t, peer, "POST", "/v1/cluster/transfer", "", forwarded).problem(t); p.Code != score.NoMaster {
		t.Errorf("a forwarded transfer at one that is not the master: got %+v", p)
	}
}

func TestBadQuestionIsNotForwarded(t *testing.T) {
	g, s := start(t)
	g.elsewhere.Store(true)
	g.forward = func(http.ResponseWriter, *http.Request) error { t.Error("forwarded"); return errors.New("no") }
	ask(t, s, "GET", "/v1/scores?limit=0", "").problem(t)
}

func TestReadWithoutAMasterIsRefused(t *testing.T) {
	g, s := start(t)
	g.elsewhere.Store(true)
	a := ask(t, s, "GET", "/v1/scores", "")
	if p := a.problem(t); p.Code != score.NoMaster || a.Header.Get("Retry-After") != "1" ||
		a.Header.Get("Laurel-Cache") != "" || a.Header.Get("Laurel-Frontend") != "f1" {
		t.Errorf("got %+v %v", p, a.Header)
	}
}

func TestReadFollowsTheMastership(t *testing.T) {
	t.Run("away", func(t *testing.T) {
		g, s := start(t)
		g.read = func(context.Context) error {
			g.elsewhere.Store(true)
			return cache.ErrNotLeased
		}
		g.forward = func(w http.ResponseWriter, r *http.Request) error {
			_, err := io.WriteString(w, "from the new master")
			return err
		}
		if a := ask(t, s, "GET", "/v1/scores", ""); a.body != "from the new master" ||
			a.Header.Get("Laurel-Cache") != "forward" {
			t.Errorf("got %d %s", a.StatusCode, a.body)
		}
	})
	t.Run("here", func(t *testing.T) {
		g, s := start(t)
		g.elsewhere.Store(true)
		g.forward = func(w http.ResponseWriter, r *http.Request) error {
			g.elsewhere.Store(false)
			return score.Problemf(score.NoMaster, "it is this one now")
		}
		if a := ask(t, s, "GET", "/v1/scores/"+contest, ""); a.StatusCode != 200 ||
			a.Header.Get("Laurel-Cache") != "load" {
			t.Errorf("got %d %s", a.StatusCode, a.body)
		}
	})
}

func TestFailureOfTheStoreIsNotShownToClients(t *testing.T) {
	g, s := start(t)
	g.read = func(context.Context) error { return errors.New("/var/lib/secret: input/output error") }
	a := ask(t, s, "GET", "/v1/scores", "")
	if p := a.problem(t); p.Status != 503 || strings.Contains(a.body, "secret") || a.Header.Get("Retry-After") == "" {
		t.Errorf("got %+v", p)
	}
}
