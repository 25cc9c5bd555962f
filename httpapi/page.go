package httpapi

import (
	"net/http"
	"strings"

	"laurel/httpapi/fastpath"
)

// frontText tells people with curl what there is.
func frontText(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	scheme := "http://"
	if fastpath.PeerOf(r).TLS != nil {
		scheme = "https://"
	}
	writeBody(w, typeText, []byte(strings.ReplaceAll(pageText, "{url}", scheme+plain(r.Host))))
	return nil
}

const pageText = `Laurel: live scores from a group of frontends. Ask any of them.

Scores
  curl {url}/v1/scores
  curl '{url}/v1/scores?competition=OG50BC&status=RUNNING&limit=20'
  curl {url}/v1/scores/OG50BC/CUR-M-GPA-01
  curl {url}/v1/timeline/OG50BC/CUR-M-GPA-01
  curl {url}/v1/medals/OG50BC
  curl {url}/v1/medals/OG50BC/GAU
  curl '{url}/v1/leaderboard/OG50BC/ATH-M-MAR?split=finish&limit=20'
  curl '{url}/v1/leaderboard/OG50BC/ATH-M-MAR?around=2888&limit=5'
What this frontend last knew, up to a minute old, rather than nothing:
  curl '{url}/v1/medals/OG50BC?max_stale=60s'
As aligned tables:
  curl -H 'Accept: text/plain' {url}/v1/medals/OG50BC

Posting: one event, an array of events (all or none), or a stream that stops at the first refused event
  curl -H 'Content-Type: application/json' {url}/v1/events \
    -d '{"type":"alert","contest_id":"OG50BC/CUR-M-GPA-01","data":{"text":"The stone has left the sheet."}}'
  curl -H 'Content-Type: application/x-ndjson' {url}/v1/events -T events.ndjson -X POST
How far a source has come:
  curl {url}/v1/bards/bard/cacofonix

The group
  curl -H 'Accept: text/plain' {url}/v1/frontends
  curl {url}/v1/cluster
  curl -H 'Content-Type: application/json' {url}/v1/cluster/members -d '{"id":"f4","peer":"127.0.0.1:9004","url":"http://127.0.0.1:8004"}'
  curl -X DELETE {url}/v1/cluster/members/f4
  curl -X POST {url}/v1/cluster/transfer
  curl -X PUT -H 'Content-Type: application/json' {url}/v1/cluster/cache -d '{"mode":"push"}'
Who may do what. Tokens are made by an operator: laurel access grant; where the group was begun with --insecure nobody needs one.
  curl -H "Authorization: Bearer $LAUREL_TOKEN" {url}/v1/access
  curl -H "Authorization: Bearer $LAUREL_TOKEN" {url}/v1/audit
  curl {url}/v1/keys
How the frontend does
  curl {url}/livez {url}/readyz
  curl {url}/metrics

Errors are application/problem+json; their detail says what was wrong and what would be right.
`
