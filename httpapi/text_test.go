package httpapi

import (
	"strings"
	"testing"
)

const isText = "Accept: text/plain"

func TestTablesAreAligned(t *testing.T) {
	_, s := start(t)
	for path, want := range map[string]string{
		"/v1/medals/OG50BC": `
RANK  ORGANISATION  GOLD  SILVER  BRONZE  TOTAL
1     GAU           2     0       1       3
=2    HEL           0     1       0       1
=2    ROM           0     1       0       1
-     EGY           1     0       0       1
`,
		"/v1/medals/OG50BC/BRI": `
RANK  ORGANISATION  GOLD  SILVER  BRONZE  TOTAL
-     BRI           0     0       0       0
`,
		"/v1/scores?limit=2": `
CONTEST              TITLE       STATUS     RESULT  PERIOD  SCORE
OG50BC/CUR-M-GPA-01  GAU vs ROM  RUNNING    LIVE    END2    GAU 2, ROM 0
OG50BC/CUR-M-GPA-02  EGY vs BRI  SCHEDULED                  

more: --after OG50BC/CUR-M-GPA-02, or after=OG50BC/CUR-M-GPA-02 in the URL
`,
		"/v1/scores/" + contest: `
OG50BC/CUR-M-GPA-01  GAU vs ROM
RUNNING  LIVE  END2

RANK  CODE  NAME        ORG  RESULT  END1
1     GAU   Gaul        GAU  2       2
2     ROM   Rome  [31m  ROM  0       -
`,
		"/v1/timeline/" + contest + "?limit=2": `
REVISION  TIME                  TYPE   ID  DATA
100       2026-02-09T10:00:00Z  alert  a   {"text":"clack"}
110       2026-02-09T10:00:00Z  alert  b   (voided by e) {"text":"clack"}

more: --after 110, or after=110 in the URL
`,
		"/v1/frontends": `
mode push, epoch 7, the master is f1

ID  URL                    PEER            ROLE    STATE        LEASE   PUSHED  RELEASED  REVISION  WATCHERS
f1  http://127.0.0.1:8001  127.0.0.1:9001  master  serving      180 ms  8123    8122      8123      0
f2  http://127.0.0.1:8002  127.0.0.1:9002  voter   unreachable  -       0       0         8100      0
`,
		"/v1/bards/bard/cacofonix": `
SOURCE          LAST SEQ  LAST ID
bard/cacofonix  5         e
`,
	} {
		a := ask(t, s, "GET", path, "", isText)
		if a.Header.Get("Content-Type") != "text/plain; charset=utf-8" || a.body != strings.TrimPrefix(want, "\n") {
			t.Errorf("%s (%s):\n%s\nwant\n%s", path, a.Header.Get("Content-Type"), a.body, want)
		}
	}
}

func TestFrontPageNamesWhatThereIs(t *testing.T) {
	_, s := start(t)
	a := ask(t, s, "GET", "/", "")
	for _, want := range []string{"curl " + s.URL + "/v1/scores", "/v1/events", "/v1/medals/", "/v1/bards/", "/v1/timeline/", "/v1/frontends", "/v1/cluster", "/livez", "/readyz", "/metrics"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("missing: %s", want)
		}
	}
}
