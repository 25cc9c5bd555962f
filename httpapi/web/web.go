// Package web is Laurel's live page: what `GET /` shows a browser. It is painted here, so that there is something to read before any script has
// run and where none ever does, and it is kept true by the script, which follows GET /v1/watch at whichever frontend answers.
//
// Read page.html for what is painted, first.go for how it is chosen, and app/main.tsx for where the script begins. The script and the style in
// dist are made from app by `go generate`, and committed.
package web

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
)

//go:generate go run -C build .

// Data is what a frontend knows when it serves the page. The script begins with it and takes over from Revision.
type Data struct {
	Scores    []score.Record  `json:"scores"`
	Medals    []score.Medals  `json:"medals"`
	Frontends score.Frontends `json:"frontends"`
	Revision  uint64          `json:"revision"`
	// Frontend is the id of the one that serves. The script reaches it at the page's own origin.
	Frontend string `json:"frontend"`
	// Store names the store, if it has a name: a page that meets another name forgets what it knew, so that a store that was
	// begun anew at the same address is not taken for an old state.
	Store string `json:"store,omitzero"`
	// LastEventID, where given, is the id of the stream from which the script goes on without a snapshot. It must be given only
	// if Scores and Medals are all there are. It is not used where there are more contests than the page begins with.
	LastEventID string `json:"last_event_id,omitzero"`
}

// policy lets in nothing but the page's own files, and lets the page speak to nobody but the frontends of the group as it was when the page was
// served: with these it stays true for as long as one of them answers. A page that is loaded anew may speak to those that came later.
func policy(d *Data) string {
	var b strings.Builder
	b.WriteString("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'")
	for _, f := range d.Frontends.Frontends {
		if u, err := url.Parse(f.URL); err == nil && (u.Scheme == "http" || u.Scheme == "https") && plainHost.MatchString(u.Host) {
			b.WriteString(" " + u.Scheme + "://" + u.Host)
		}
	}
	b.WriteString("; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	return b.String()
}

// plainHost keeps what a member calls itself from saying anything else in a header.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9.\-\[\]:]+$`)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// Page writes the live page. An error means that nothing has been written. It is safe for concurrent use.
func Page(w http.ResponseWriter, r *http.Request, d Data) error {
	painted := sections(d.Scores)
	begin := beginning{light(d, painted), time.Now().UnixMilli()}
	served, err := json.Marshal(begin, jsontext.EscapeForHTML(true))
	if err != nil {
		return fmt.Errorf("the page's data cannot be written: %w", err)
	}
	var b bytes.Buffer
	// What is marshalled with EscapeForHTML has no sign in it that could end the element, so it is safe as it stands.
	if err := pageTemplate.Execute(&b, firstPaint(&d, painted, template.JS(served))); err != nil {
		return fmt.Errorf("the page cannot be painted: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy(&d))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Add("Vary", "Accept-Encoding")
	body := b.Bytes()
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = zipped(body, gzip.BestSpeed)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client is gone; nobody is left to tell
	return nil
}

// beginning is what the script begins with. A browser may show a page that it kept, so the page says how old it is.
type beginning struct {
	Data
	ServedAt int64 `json:"served_at"` // in milliseconds since 1970
}

// light is d with only the contests that are painted, for the page has to be small; the stream's snapshot brings the others.
func light(d Data, painted []section) Data {
	var chosen []score.Record
	for _, s := range painted {
		for _, r := range s.contests {
			chosen = append(chosen, *r)
		}
	}
	if len(chosen) < len(d.Scores) {
		d.LastEventID = ""
	}
	d.Scores = chosen
	return d
}

// takesGzip tells whether the client would rather have its answer packed.
func takesGzip(r *http.Request) bool {
	for _, list := range r.Header.Values("Accept-Encoding") {
		for one := range strings.SplitSeq(list, ",") {
			coding, weight, _ := strings.Cut(one, ";")
			if strings.TrimSpace(coding) == "gzip" {
				weight = strings.ReplaceAll(weight, " ", "")
				return weight != "q=0" && weight != "q=0.0" && weight != "q=0.00" && weight != "q=0.000"
			}
		}
	}
	return false
}

func zipped(b []byte, level int) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, level) // the levels used here are known ones
	_, _ = z.Write(b)                        // a Buffer takes everything
	_ = z.Close()
	return out.Bytes()
}
