package frontend

import (
	"crypto/ed25519"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/trust/signing"
)

// rawRequest is a request as it goes over the connection.
func rawRequest(method, path string, fields ...string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

func rawBody(method, path, body string, fields ...string) string {
	return rawRequest(method, path, append(fields, fmt.Sprintf("Content-Length: %d", len(body)))...) + body
}

func get(title, path string, fields ...string) exchange {
	return exchange{title: title, raw: rawRequest("GET", path, fields...)}
}

const (
	bodyJSON   = "Content-Type: application/json"
	bodyNDJSON = "Content-Type: application/x-ndjson"
	wantText   = "Accept: text/plain"
)

func send(title, method, path, body string, fields ...string) exchange {
	return exchange{title: title, raw: rawBody(method, path, body, append([]string{bodyJSON}, fields...)...)}
}

// reads are what can be asked of every record: the answer, as text, 304, HEAD, and what is refused.
func reads(path string) []exchange {
	return []exchange{
		get("the answer", path),
		get("as text", path, wantText),
		get("either, JSON preferred", path, "Accept: text/plain;q=0.5, application/json"),
		get("a browser's Accept", path, "Accept: text/html, */*;q=0.8"),
		get("the client has any version", path, "If-None-Match: *"),
		get("the client has another version", path, `If-None-Match: "other"`),
		get("as text, the client has any version", path, wantText, "If-None-Match: *"),
		{title: "HEAD", raw: rawRequest("HEAD", path)},
		{title: "HEAD, as text", raw: rawRequest("HEAD", path, wantText)},
		get("an old answer would do", path+"?max_stale=30s"),
		get("an old answer would do, by header", path, "Cache-Control: max-stale=30"),
		get("a bound that is no duration", path+"?max_stale=soon"),
		get("unknown parameter", path+"?colour=red"),
		get("parameters that cannot be read", path+"?limit=%zz"),
		get("a token in the URL", path+"?token=x"),
		get("from a page of another origin", path, "Origin: http://a.example"),
		{title: "another method", raw: rawRequest("DELETE", path)},
		{title: "another method with a body", raw: rawBody("PUT", path, "{}", bodyJSON)},
		{title: "OPTIONS", raw: rawRequest("OPTIONS", path, "Origin: http://a.example")},
		{title: "preflight", raw: preflight(path, "GET", "http://a.example")},
		{title: "to another host", raw: strings.Replace(rawRequest("GET", path), "localhost", "evil.example", 1)},
		get("the last request of the connection", path, "Connection: close"),
		{title: "twice on one connection", raw: rawRequest("GET", path) + rawRequest("GET", path, "If-None-Match: *"),
			answers: 2},
	}
}

// preflight is what a browser asks before a page of origin sends a token.
func preflight(path, method, origin string) string {
	return rawRequest("OPTIONS", path, "Origin: "+origin, "Access-Control-Request-Method: "+method,
		"Access-Control-Request-Headers: authorization")
}

func openScripts() []script {
	return []script{
		{"scores.txt", append(reads("/v1/scores/OG50BC/CUR-M-GPA-01"),
			get("a ranked contest", "/v1/scores/OG50BC/MAR"),
			get("a ranked contest as text", "/v1/scores/OG50BC/MAR", wantText),
			get("not defined", "/v1/scores/OG50BC/NO"),
			get("not defined, as text", "/v1/scores/OG50BC/NO", wantText),
			exchange{title: "not defined, HEAD", raw: rawRequest("HEAD", "/v1/scores/OG50BC/NO")},
			get("no id", "/v1/scores/"),
			get("an id that cannot be", "/v1/scores/OG50BC//x"),
			get("an id with escapes", "/v1/scores/OG50BC%2FCUR-M-GPA-01"),
			get("an id with a line break", "/v1/scores/%0a"),
		)},
		{"score_list.txt", append(reads("/v1/scores"),
			get("a page", "/v1/scores?limit=1"),
			get("a page as text", "/v1/scores?limit=1", wantText),
			get("the next page", "/v1/scores?limit=1&after=OG50BC/CUR-M-GPA-01"),
			get("filters", "/v1/scores?competition=OG50BC&sport=marathon&status=RUNNING&competitor=2888"),
			get("filters that fit nothing", "/v1/scores?competition=XX"),
			get("what is live", "/v1/scores?section=live"),
			get("a page of what is next", "/v1/scores?section=next&limit=1"),
			get("words", "/v1/scores?find=CUR+gaul"),
			get("words that nothing has", "/v1/scores?find=polo"),
			get("no such section", "/v1/scores?section=over"),
			get("a section and a sport", "/v1/scores?section=live&sport=marathon"),
			get("too small a page", "/v1/scores?limit=0"),
			get("too large a page", "/v1/scores?limit=1001"),
			get("no place to go on", "/v1/scores?after=a//b"),
			get("too long a filter", "/v1/scores?sport="+strings.Repeat("x", 600)),
			get("twice the same", "/v1/scores?limit=1&limit=2"),
		)},
		{"startlist.txt", append(reads("/v1/startlist/OG50BC/CUR-M-GPA-01"),
			get("a page", "/v1/startlist/OG50BC/CUR-M-GPA-01?limit=1"),
			get("a page as text", "/v1/startlist/OG50BC/CUR-M-GPA-01?limit=1", wantText),
			get("the next page", "/v1/startlist/OG50BC/CUR-M-GPA-01?limit=1&after=1,GAU"),
			get("no place to go on", "/v1/startlist/OG50BC/CUR-M-GPA-01?after=x"),
			get("no contest", "/v1/startlist/OG50BC/NO"),
		)},
		{"timeline.txt", append(reads("/v1/timeline/OG50BC/CUR-M-GPA-01"),
			get("a page", "/v1/timeline/OG50BC/CUR-M-GPA-01?limit=2"),
			get("a page as text", "/v1/timeline/OG50BC/CUR-M-GPA-01?limit=2", wantText),
			get("the next page", "/v1/timeline/OG50BC/CUR-M-GPA-01?limit=2&after=3"),
			get("behind the end", "/v1/timeline/OG50BC/CUR-M-GPA-01?after=1000"),
			get("no place to go on", "/v1/timeline/OG50BC/CUR-M-GPA-01?after=x"),
			get("no events", "/v1/timeline/OG50BC/NO"),
			get("an id that cannot be", "/v1/timeline/OG50BC//x"),
		)},
		{"medals.txt", append(reads("/v1/medals/OG50BC"),
			get("one organisation", "/v1/medals/OG50BC/GAU"),
			get("one organisation as text", "/v1/medals/OG50BC/GAU", wantText),
			get("one outside the ranking", "/v1/medals/OG50BC/NEU"),
			get("one with signs in its name", "/v1/medals/OG50BC/Britain/of%20the%20east%3F"),
			get("one without medals", "/v1/medals/OG50BC/XXX"),
			get("no such competition", "/v1/medals/XX"),
			get("no competition", "/v1/medals/"),
			get("no organisation", "/v1/medals/OG50BC/"),
		)},
		{"leaderboard.txt", append(reads("/v1/leaderboard/OG50BC/MAR"),
			get("a split", "/v1/leaderboard/OG50BC/MAR?split=10%20km"),
			get("a split, plainly", "/v1/leaderboard/OG50BC/MAR?split=finish&category=M"),
			get("a page", "/v1/leaderboard/OG50BC/MAR?limit=2"),
			get("a page as text", "/v1/leaderboard/OG50BC/MAR?limit=2", wantText),
			get("the next page", "/v1/leaderboard/OG50BC/MAR?limit=2&after=8000000,31"),
			get("around a competitor", "/v1/leaderboard/OG50BC/MAR?around=7&limit=3"),
			get("around nobody", "/v1/leaderboard/OG50BC/MAR?around=x"),
			get("around and after", "/v1/leaderboard/OG50BC/MAR?around=7&after=8000000,31"),
			get("no place to go on", "/v1/leaderboard/OG50BC/MAR?after=x"),
			get("no such split", "/v1/leaderboard/OG50BC/MAR?split=none"),
			get("too large a page", "/v1/leaderboard/OG50BC/MAR?limit=1001"),
			get("a long page", "/v1/leaderboard/OG50BC/MAR?limit=500"),
			get("not ranked", "/v1/leaderboard/OG50BC/CUR-M-GPA-01"),
			get("not defined", "/v1/leaderboard/OG50BC/NO"),
			get("no id", "/v1/leaderboard"),
		)},
		{"bards.txt", append(reads("/v1/bards/bard/cacofonix"),
			get("one that never posted", "/v1/bards/bard/new"),
			get("a name that cannot be", "/v1/bards/a//b"),
			get("its events", "/v1/bards/bard/cacofonix?after=2&limit=2"),
			get("its events as text", "/v1/bards/bard/cacofonix?after=2&limit=2", wantText),
			get("no seq", "/v1/bards/bard/cacofonix?after=x"),
		)},
		{"frontends.txt", []exchange{
			get("the group", "/v1/frontends"),
			get("the group, by its other name", "/v1/cluster"),
			get("as text", "/v1/frontends", wantText),
			{title: "HEAD", raw: rawRequest("HEAD", "/v1/frontends")},
			get("unknown parameter", "/v1/frontends?x=y"),
			{title: "another method", raw: rawRequest("POST", "/v1/frontends")},
		}},
		{"health.txt", []exchange{
			get("the process lives", "/livez"),
			get("the frontend is ready", "/readyz"),
			get("reads can be answered", "/readyz?scope=reads"),
			get("no such scope", "/readyz?scope=votes"),
			{title: "HEAD", raw: rawRequest("HEAD", "/readyz")},
			{title: "another method", raw: rawRequest("POST", "/livez")},
		}},
		{"routes.txt", []exchange{
			get("the list for people", "/"),
			{title: "the list, HEAD", raw: rawRequest("HEAD", "/")},
			{title: "another method", raw: rawRequest("PUT", "/")},
			get("no such path", "/nowhere"),
			get("no such path, as text", "/nowhere", wantText),
			{title: "no such path, HEAD", raw: rawRequest("HEAD", "/nowhere")},
			{title: "no such path, POST", raw: rawBody("POST", "/nowhere", "{}", bodyJSON)},
			get("no such version", "/v2/scores"),
			get("a path that would be cleaned", "/v1/../v1/scores"),
			get("no such file of the page", "/assets/none.js"),
			get("keys of an open store", "/v1/keys"),
			get("keys as text", "/v1/keys", wantText),
			get("no such key", "/v1/keys/none"),
			get("keys with a parameter", "/v1/keys?x=y"),
			{title: "not HTTP", raw: "\x16\x03\x01\x02\x00\x01\r\n\r\n"},
			{title: "HTTP/1.0", raw: strings.Replace(rawRequest("GET", "/livez"), "1.1", "1.0", 1)},
			{title: "no host", raw: "GET /livez HTTP/1.1\r\n\r\n"},
		}},
		eventsScript(), streamScript(), watchScript(), adminScript(),
	}
}

func alertOf(id, more string) string {
	return `{"id":"` + id + `","source":"bard/cacofonix","type":"alert","time":"0704-06-21T11:00:00Z","contest_id":"OG50BC/CUR-M-GPA-01","data":{"text":"clack"}` + more + `}`
}

func eventsScript() script {
	const path = "/v1/events"
	return script{"events.txt", []exchange{
		send("an event", "POST", path, alertOf("p1", "")),
		send("the same again", "POST", path, alertOf("p1", "")),
		send("the id of another", "POST", path, strings.Replace(alertOf("p1", ""), "clack", "clock", 1)),
		send("with its seq", "POST", path, alertOf("p2", `,"seq":10`)),
		send("a gap", "POST", path, alertOf("p3", `,"seq":100`)),
		send("without id, source and time", "POST", path, `{"type":"alert","contest_id":"OG50BC/CUR-M-GPA-01","data":{"text":"clack"}}`),
		send("an array", "POST", path, "["+alertOf("p4", "")+","+alertOf("p5", "")+"]"),
		send("an array, one of which is wrong", "POST", path, "["+alertOf("p6", "")+`,{"id":"p7","type":"alert"}]`),
		send("an array, one of which is refused", "POST", path,
			"["+alertOf("p8", "")+","+alertOf("p9", `,"seq":100`)+"]"),
		send("an empty array", "POST", path, "[]"),
		send("a total that does not add up", "POST", path, `{"id":"t1","source":"bard/cacofonix","type":"score.play","time":"0704-06-21T11:00:00Z","contest_id":"OG50BC/CUR-M-GPA-01","data":{"competitor":"GAU","delta":1,"period":"END3","result":{"GAU":100,"ROM":0}}}`),
		send("a status that cannot follow", "POST", path, `{"id":"t2","source":"bard/cacofonix","type":"contest.status","time":"0704-06-21T11:00:00Z","contest_id":"OG50BC/CUR-M-GPA-01","data":{"schedule_status":"SCHEDULED"}}`),
		send("a contest that is not defined", "POST", path, `{"id":"t3","source":"bard/cacofonix","type":"score.play","time":"0704-06-21T11:00:00Z","contest_id":"OG50BC/NO","data":{"competitor":"GAU","delta":1}}`),
		send("a type that is not known", "POST", path, `{"type":"x","contest_id":"A/1","data":{}}`),
		send("an unknown member", "POST", path, `{"type":"alert","contest_id":"A/1","data":{"text":"a"},"colour":"red"}`),
		send("not JSON", "POST", path, `{"type":`),
		send("nothing", "POST", path, ""),
		send("white space", "POST", path, "  \r\n"),
		send("a charset", "POST", path, alertOf("p1", ""), "Content-Type: application/json; charset=utf-8"),
		{title: "JSON with a charset", raw: rawBody("POST", path, alertOf("p1", ""), bodyJSON+"; charset=utf-8")},
		{title: "another charset", raw: rawBody("POST", path, alertOf("p1", ""), bodyJSON+"; charset=latin1")},
		{title: "no Content-Type", raw: rawBody("POST", path, alertOf("p1", ""))},
		{title: "a form", raw: rawBody("POST", path, alertOf("p1", ""),
			"Content-Type: application/x-www-form-urlencoded")},
		{title: "another type", raw: rawBody("POST", path, alertOf("p1", ""), "Content-Type: text/plain")},
		send("packed", "POST", path, alertOf("p1", ""), "Content-Encoding: gzip"),
		send("too long an event", "POST", path, strings.Replace(alertOf("p10", ""), "clack",
			strings.Repeat("x", 70_000), 1)),
		{title: "a length above the limit", raw: rawRequest("POST", path, bodyJSON, "Content-Length: 5000000",
			"Expect: 100-continue")},
		{title: "chunked", raw: rawRequest("POST", path, bodyJSON,
			"Transfer-Encoding: chunked") + "5\r\n[null\r\n1\r\n]\r\n0\r\n\r\n"},
		send("a token in the URL", "POST", path+"?token=x", alertOf("p1", "")),
		send("a parameter", "POST", path+"?a=b", alertOf("p1", "")),
		send("a token where none is needed", "POST", path, alertOf("p1", ""), "Authorization: Bearer x"),
		send("from a page of another origin", "POST", path, alertOf("p1", ""), "Origin: http://evil.example"),
		send("the last request of the connection", "POST", path, alertOf("p1", ""), "Connection: close"),
		{title: "two on one connection, the second wrong", answers: 2,
			raw: rawBody("POST", path, alertOf("p1", ""), bodyJSON) + rawBody("POST", path, "{", bodyJSON)},
		{title: "another method", raw: rawRequest("GET", path)},
		{title: "another method", raw: rawRequest("DELETE", path)},
	}}
}

func streamScript() script {
	const path = "/v1/events"
	lines := func(title string, lines ...string) exchange {
		return exchange{title: title, raw: rawBody("POST", path, strings.Join(lines, "\n")+"\n", bodyNDJSON)}
	}
	return script{"stream.txt", []exchange{
		lines("three events and a blank line", alertOf("n1", ""), alertOf("n2", ""), "", alertOf("n3", "")),
		lines("nothing"),
		lines("the second is refused", alertOf("n4", ""), alertOf("n5", `,"seq":100`), alertOf("n6", "")),
		lines("the second is no event", alertOf("n7", ""), `{"id":"n8","type":"alert"}`, alertOf("n9", "")),
		lines("the first is not JSON", "{"),
		lines("too long a line", strings.Repeat("x", 70_000)),
		{title: "no newline at the end", raw: rawBody("POST", path, alertOf("n10", ""), bodyNDJSON)},
		{title: "chunked", raw: rawRequest("POST", path, bodyNDJSON, "Transfer-Encoding: chunked") +
			fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(alertOf("n11", "")), alertOf("n11", ""))},
	}}
}

func watchScript() script {
	watch := func(title, query, until string, fields ...string) exchange {
		return exchange{title: title, raw: rawRequest("GET", "/v1/watch"+query, fields...), until: until}
	}
	return script{"watch.txt", []exchange{
		watch("a contest", "?contest=OG50BC/CUR-M-GPA-01", "event: snapshot"),
		watch("medals", "?medals=OG50BC", "event: snapshot"),
		watch("a timeline", "?timeline=OG50BC/MAR", "event: snapshot"),
		watch("a leaderboard's window", "?leaderboard=OG50BC/MAR&split=finish&limit=2", "event: snapshot"),
		watch("from an event on", "?contest=OG50BC/CUR-M-GPA-01&last_event_id=x", "event: snapshot"),
		watch("until the first heartbeat", "?contest=OG50BC/NO", "event: heartbeat"),
		watch("what is live, next and finished last", "?scope=now", "event: snapshot"),
		watch("everything and a leaderboard", "?scope=all&leaderboard=OG50BC/MAR&limit=1", "event: snapshot"),
		get("an unknown scope", "/v1/watch?scope=some"),
		get("a scope and a competition", "/v1/watch?scope=now&competition=OG50BC"),
		get("an unknown subject", "/v1/watch?colour=red"),
		get("an id that cannot be", "/v1/watch?contest=a//b"),
		get("a split without a leaderboard", "/v1/watch?split=finish"),
		get("too large a window", "/v1/watch?leaderboard=OG50BC/MAR&limit=1000"),
		get("parameters that cannot be read", "/v1/watch?contest=%zz"),
		get("a token in the URL", "/v1/watch?token=x"),
		{title: "another method", raw: rawRequest("POST", "/v1/watch")},
	}}
}

func adminScript() script {
	return script{"admin.txt", []exchange{
		send("join without an id", "POST", "/v1/cluster/members", `{"peer":"127.0.0.1:1"}`),
		send("join without a peer", "POST", "/v1/cluster/members", `{"id":"f9"}`),
		send("join with a peer that is no address", "POST", "/v1/cluster/members", `{"id":"f9","peer":"a b"}`),
		send("join without a URL", "POST", "/v1/cluster/members", `{"id":"f9","peer":"127.0.0.1:1"}`),
		send("join with an unknown member", "POST", "/v1/cluster/members", `{"name":"f9"}`),
		send("join with a member of another kind", "POST", "/v1/cluster/members", `{"id":9}`),
		send("join, not JSON", "POST", "/v1/cluster/members", `{`),
		{title: "join without a Content-Type", raw: rawBody("POST", "/v1/cluster/members", "{}")},
		{title: "members, another method", raw: rawRequest("GET", "/v1/cluster/members")},
		send("take out nobody", "DELETE", "/v1/cluster/members/f9", ""),
		send("take out by a force that is none", "DELETE", "/v1/cluster/members/f9?force=maybe", ""),
		send("take out an id that cannot be", "DELETE", "/v1/cluster/members/a%20b", ""),
		send("hand over to nobody", "POST", "/v1/cluster/transfer", `{"to":"f9"}`),
		send("hand over to an id that cannot be", "POST", "/v1/cluster/transfer", `{"to":"a b"}`),
		{title: "hand over to any", raw: rawRequest("POST", "/v1/cluster/transfer")},
		get("the settings", "/v1/cluster/settings"),
		get("the settings as text", "/v1/cluster/settings", wantText),
		get("the settings with a parameter", "/v1/cluster/settings?x=y"),
		send("a mode that is none", "PUT", "/v1/cluster/settings/cache_mode", `{"value":"x"}`),
		send("no mode", "PUT", "/v1/cluster/settings/cache_mode", ``),
		send("set the mode", "PUT", "/v1/cluster/settings/cache_mode", `{"value":"push"}`),
		send("set the mode, as text", "PUT", "/v1/cluster/settings/cache_mode", `{"value":"push"}`, wantText),
		send("a setting that is none", "PUT", "/v1/cluster/settings/crown", `{"value":"true"}`),
		send("another lineage", "PUT", "/v1/cluster/settings/lineage", `{"value":"rome"}`),
		send("private, without certificates", "PUT", "/v1/cluster/settings/private", `{"value":"true"}`),
		send("a setting, another method", "DELETE", "/v1/cluster/settings/private", ``),
		send("from a page of another origin", "PUT", "/v1/cluster/settings/cache_mode", `{"value":"push"}`,
			"Origin: http://evil.example"),
		send("a join token without certificates", "POST", "/v1/cluster/tokens", ``),
		send("enroll without certificates", "POST", "/v1/cluster/enroll", `{}`),
		get("the authority without certificates", "/v1/cluster/authority"),
		send("change the authority without certificates", "POST", "/v1/cluster/authority", ``),
		get("access", "/v1/access"),
		get("access as text", "/v1/access", wantText),
		get("access with a parameter", "/v1/access?x=y"),
		send("a grant without a name", "POST", "/v1/access/grants", `{"role":"bard"}`),
		send("a grant of a role that is none", "POST", "/v1/access/grants", `{"name":"x","role":"king"}`),
		send("a grant that has expired", "POST", "/v1/access/grants",
			`{"name":"x","role":"bard","expires":"0704-01-01T00:00:00Z"}`),
		send("revoke nothing", "DELETE", "/v1/access/grants/none", ""),
		get("audit", "/v1/audit"),
		get("audit as text", "/v1/audit", wantText),
		get("a page of the audit", "/v1/audit?limit=1"),
		get("a page of the audit as text", "/v1/audit?limit=1", wantText),
		get("audit, no place to go on", "/v1/audit?after=x"),
		get("audit, too large a page", "/v1/audit?limit=5000"),
	}}
}

func pullScript() script {
	list := []exchange{}
	for _, path := range []string{"/v1/scores/OG50BC/CUR-M-GPA-01", "/v1/scores/OG50BC/NO", "/v1/scores?limit=1",
		"/v1/timeline/OG50BC/CUR-M-GPA-01?limit=100",
		"/v1/medals/OG50BC/GAU", "/v1/leaderboard/OG50BC/MAR?limit=1", "/v1/bards/bard/cacofonix"} {
		list = append(list, get("pull mode", path), get("pull mode, as text", path, wantText),
			get("pull mode, conditional", path, "If-None-Match: *"))
	}
	return script{"pull.txt", list}
}

func lostScript() script {
	list := []exchange{}
	for _, path := range []string{"/v1/scores/OG50BC/CUR-M-GPA-01", "/v1/leaderboard/OG50BC/MAR"} {
		list = append(list,
			get("no master", path),
			get("no master, an old answer will do", path+"?max_stale"),
			get("no master, an old answer will do, as text", path+"?max_stale", wantText),
			get("no master, a young answer will do", path+"?max_stale=1ms"),
			get("no master, an old answer will do, by header", path, "Cache-Control: max-stale=600"))
	}
	return script{"lost.txt", append(list,
		get("no master: access", "/v1/access"),
		get("no master: ready", "/readyz"),
		get("no master: ready for reads", "/readyz?scope=reads"),
	)}
}

func guardedScripts() []script {
	const path = "/v1/scores/OG50BC/CUR-M-GPA-01"
	as := func(name string) string { return "Authorization: Bearer {" + name + "}" }
	var callers []exchange
	for _, route := range []struct{ method, path, body string }{
		{"GET", path, ""}, {"GET", "/v1/scores", ""}, {"GET", "/v1/leaderboard/OG50BC/MAR", ""},
		{"GET", "/v1/frontends", ""}, {"GET", "/", ""}, {"GET", "/metrics", ""}, {"GET", "/v1/watch?colour=red", ""},
		{"GET", "/livez", ""}, {"POST", "/v1/events", alertOf("p1", "")}, {"GET", "/v1/access", ""},
		{"GET", "/v1/audit?limit=1", ""}, {"POST", "/v1/cluster/transfer", `{"to":"f9"}`},
		{"POST", "/v1/cluster/members", "{}"}, {"POST", "/v1/access/grants", "{}"},
		{"DELETE", "/v1/access/grants/none", ""}, {"POST", "/v1/cluster/tokens", `{"ttl":"x"}`},
	} {
		for _, caller := range []string{"", "reader", "bard", "operator", "revoked", "expired", "unknown"} {
			var fields []string
			if caller != "" {
				fields = append(fields, as(caller))
			}
			if caller == "operator" && route.path == "/metrics" {
				continue // a page of figures
			}
			if route.body != "" {
				fields = append(fields, bodyJSON)
			}
			raw := rawRequest(route.method, route.path, fields...)
			if route.body != "" {
				raw = rawBody(route.method, route.path, route.body, fields...)
			}
			if caller == "reader" && route.path == "/metrics" {
				continue
			}
			callers = append(callers, exchange{title: "as " + strings.Trim(caller+" ", " "), raw: raw})
		}
	}
	return []script{
		{"callers.txt", append(callers,
			get("a token of another kind", path, "Authorization: Basic eDp5"),
			get("a token that is none", path, "Authorization: Bearer x"),
			get("two tokens", path, as("reader"), as("reader")),
			get("a page that may read", path, as("reader"), "Origin: https://scores.example"),
			get("a page that may not read", path, as("reader"), "Origin: https://evil.example"),
			exchange{title: "a page that may read, preflight", raw: preflight(path, "GET", "https://scores.example")},
			exchange{title: "a page that may not read, preflight", raw: preflight(path, "GET", "https://evil.example")},
			exchange{title: "a page that may read, preflight of a post",
				raw: preflight("/v1/events", "POST", "https://scores.example")},
			exchange{title: "a page that may read, preflight of access",
				raw: preflight("/v1/access", "GET", "https://scores.example")},
			send("a page that may read posts", "POST", "/v1/events", alertOf("p1", ""), as("bard"),
				"Origin: https://scores.example"),
		)},
		{"guarded_events.txt", []exchange{
			send("another competition", "POST", "/v1/events",
				`{"id":"x1","type":"alert","contest_id":"XX/1","data":{"text":"a"}}`, as("bard")),
			send("without id and source", "POST", "/v1/events",
				`{"type":"alert","time":"0704-06-21T11:00:00Z","contest_id":"OG50BC/MAR","data":{"text":"a"}}`,
				as("bard")),
			send("the source of another", "POST", "/v1/events",
				`{"id":"x2","source":"bard/sopranus","type":"alert","contest_id":"OG50BC/MAR","data":{"text":"a"}}`,
				as("bard")),
			send("the second of an array is another's", "POST", "/v1/events",
				"["+alertOf("x3", "")+`,{"id":"x4","type":"alert","contest_id":"XX/1","data":{"text":"a"}}]`,
				as("bard")),
			send("signed", "POST", "/v1/events", `{signed g1}`),
			send("signed, then changed", "POST", "/v1/events", `{signed g2 clack clock}`),
			send("signed with an unknown key", "POST", "/v1/events",
				`{signed g3 "key":" "key":"00}`),
			send("signed for another store", "POST", "/v1/events", `{signed g4 "lineage":" "lineage":"x}`),
			send("the first of a slow bard", "POST", "/v1/events",
				`{"id":"s1","type":"alert","time":"0704-06-21T11:00:00Z","contest_id":"OG50BC/MAR","data":{"text":"a"}}`, as("slow")),
			send("too many of a slow bard", "POST", "/v1/events",
				`{"id":"s2","type":"alert","time":"0704-06-21T11:00:00Z","contest_id":"OG50BC/MAR","data":{"text":"a"}}`, as("slow")),
			send("too large a body", "POST", "/v1/events", "["+strings.Repeat(" ", 21_000)+"]", as("bard")),
			{title: "a stream whose second event is another's",
				raw: rawBody("POST", "/v1/events",
					alertOf("x5", "")+"\n"+`{"id":"x6","type":"alert","contest_id":"XX/1","data":{"text":"a"}}`+"\n",
					bodyNDJSON, as("bard"))},
			{title: "a stream of a stranger", raw: rawBody("POST", "/v1/events", alertOf("x7", "")+"\n", bodyNDJSON)},
			get("the timeline tells who vouches", "/v1/timeline/OG50BC/CUR-M-GPA-01?after=20", as("reader")),
			get("the timeline tells who vouches, as text", "/v1/timeline/OG50BC/CUR-M-GPA-01?after=20", as("reader"),
				wantText),
			get("keys", "/v1/keys", as("reader")),
			get("keys as text", "/v1/keys", as("reader"), wantText),
			get("one key", "/v1/keys/"+score.KeyID(worldPublic()), as("reader")),
			get("one key as text", "/v1/keys/"+score.KeyID(worldPublic()), as("reader"), wantText),
		}},
		{"guarded_admin.txt", []exchange{
			get("access", "/v1/access", as("operator")),
			get("access as text", "/v1/access", as("operator"), wantText),
			send("a grant for a key", "POST", "/v1/access/grants",
				`{"name":"bard/key","role":"bard","public":"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}`,
				as("operator")),
			send("a grant of an unknown role", "POST", "/v1/access/grants", `{"name":"bard/key","role":"king"}`,
				as("operator")),
			send("revoke", "DELETE", "/v1/access/grants/{slow id}", "", as("operator")),
			send("revoke again", "DELETE", "/v1/access/grants/{slow id}", "", as("operator")),
			send("a join token", "POST", "/v1/cluster/tokens", `{"ttl":"1h","uses":2}`, as("operator")),
			send("a join token with a time that is none", "POST", "/v1/cluster/tokens", `{"ttl":"x"}`, as("operator")),
			send("a join token for ever", "POST", "/v1/cluster/tokens", `{"ttl":"100000h"}`, as("operator")),
			send("enroll without a token", "POST", "/v1/cluster/enroll", `{}`),
			send("enroll, not JSON", "POST", "/v1/cluster/enroll", `{`),
			get("the authority", "/v1/cluster/authority"),
			{title: "the authority, HEAD", raw: rawRequest("HEAD", "/v1/cluster/authority")},
			send("end a change of the authority that was not begun", "POST", "/v1/cluster/authority", `{"finish":true}`,
				as("operator")),
			send("hand over to nobody", "POST", "/v1/cluster/transfer", `{"to":"f9"}`, as("operator")),
			send("hand over in the name of a member", "POST", "/v1/cluster/transfer", `{"to":"f9"}`,
				"Laurel-Caller: f1@x"),
		}},
	}
}

// placeholder stands for an event that is signed for the store of the world, in which a
// text may then be replaced.
var placeholder = regexp.MustCompile(`\{signed (\S+?)(?: (\S+) (\S+))?\}`)

// withSigned puts the signed events into a request.
func (w *answerWorld) withSigned(raw string) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	match := placeholder.FindStringSubmatch(body)
	if match == nil {
		return raw
	}
	body = signedAlert(w.lineage, match[1])
	if match[2] != "" {
		body = strings.Replace(body, match[2], match[3], 1)
	}
	head = regexp.MustCompile(`Content-Length: \d+`).ReplaceAllString(head, fmt.Sprint("Content-Length: ", len(body)))
	return head + "\r\n\r\n" + body
}

func signedAlert(lineage, id string) string {
	events := []score.Event{{ID: id, Source: "bard/assurancetourix", Seq: 1, Type: score.TypeAlert,
		Time: time.Date(704, 6, 21, 12, 0, 0, 0, time.UTC), TimeGiven: true, IDGiven: true,
		ContestID: "OG50BC/CUR-M-GPA-01", Data: &score.Alert{Text: "clack"}}}
	if err := signing.Sign(worldKey(), lineage, events); err != nil {
		panic(err)
	}
	b, err := json.Marshal(&events[0])
	if err != nil {
		panic(err)
	}
	return string(b)
}

func worldPublic() ed25519.PublicKey { return worldKey().Public().(ed25519.PublicKey) }
