// Package web serves Laurel's live page, the answer of GET / to a browser. [Page] renders the
// scores on the server, so that they can be read before any script has run and without
// scripts. The page's script then keeps them up to date by GET /v1/watch from any frontend.
//
// Start reading at page.html and firstpaint.go for what the server renders, and at
// app/main.tsx for the script. The script and the style in dist are built from app by
// go generate and committed.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
	"laurel/score/medal"
)

//go:generate go run -C build .

// Data is the state that the page is served with. The script starts from it and follows the
// changes after Revision.
type Data struct {
	Scores    []score.Record    `json:"scores"`
	Medals    []medal.Standings `json:"medals"`
	Frontends score.Frontends   `json:"frontends"`
	Revision  uint64            `json:"revision"`
	// Frontend is the id of the frontend that serves the page. The script reaches it at the
	// page's origin.
	Frontend string `json:"frontend"`
	// Store identifies the store, if it has an id yet. When the id changes, the page forgets
	// what it knew: the revisions of a new store at the same address mean something else.
	Store string `json:"store,omitzero"`
	// LastEventID, if not empty, is the event id with which the script resumes a stream
	// without a snapshot. It must be set only if Scores and Medals are complete, and is not
	// used if the page has more contests than it shows at first.
	LastEventID string `json:"last_event_id,omitzero"`
}

// policy returns the content security policy: the page loads only its own files and connects
// only to the frontends that are known when it is served. It must be reloaded to connect to
// frontends that were added later.
func policy(d *Data) string {
	var b strings.Builder
	b.WriteString("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'")
	for _, f := range d.Frontends.Frontends {
		u, err := url.Parse(f.URL)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && plainHost.MatchString(u.Host) {
			b.WriteString(" " + u.Scheme + "://" + u.Host)
		}
	}
	b.WriteString("; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	return b.String()
}

// plainHost matches hosts that cannot inject other directives into the policy.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9.\-\[\]:]+$`)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// Page writes the live page. If it returns an error, it has written nothing. It is safe for
// concurrent use.
func Page(w http.ResponseWriter, r *http.Request, d Data) error {
	shown := sections(d.Scores)
	data := servedData{onlyShown(d, shown), time.Now().UnixMilli()}
	served, err := json.Marshal(data, jsontext.EscapeForHTML(true))
	if err != nil {
		return fmt.Errorf("encode the page's data: %w", err)
	}
	page := &pageData{
		Data:     &d,
		Served:   template.JS(served), // EscapeForHTML left no character that could end the script element
		Sections: shown,
		Tables:   tables(d.Medals, organisations(d.Scores)),
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, page); err != nil {
		return fmt.Errorf("render the page: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy(&d))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Add("Vary", "Accept-Encoding")
	body := b.Bytes()
	if acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = compress(body, gzip.BestSpeed)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // an error means that the client is gone
	return nil
}

// servedData is the JSON in the page that the script starts from. It has the time because a
// browser may show a page from its cache.
type servedData struct {
	Data
	ServedAt int64 `json:"served_at"` // milliseconds since 1970
}

// onlyShown returns d with only the contests of the given sections, to keep the page small.
// The stream's snapshot brings the others.
func onlyShown(d Data, shown []section) Data {
	var chosen []score.Record
	for _, s := range shown {
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

// acceptsGzip reports whether the client accepts gzip.
func acceptsGzip(r *http.Request) bool {
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

func compress(b []byte, level int) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, level) // the levels in use are valid
	_, _ = z.Write(b)                        // writing to a Buffer cannot fail
	_ = z.Close()
	return out.Bytes()
}

// AssetsPath is the prefix of the paths that Assets serves.
const AssetsPath = "/assets/"

//go:embed dist
var dist embed.FS

var contentTypes = map[string]string{
	".js":  "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
}

// asset is a file of the page. Its URL contains a hash of its content, so it may be cached
// forever.
type asset struct {
	url         string
	contentType string
	body        []byte
	compressed  []byte
}

// assets returns the page's files by their name in dist.
var assets = sync.OnceValue(func() map[string]*asset {
	all := make(map[string]*asset)
	entries, err := dist.ReadDir("dist")
	if err != nil {
		return all
	}
	for _, e := range entries {
		body, err := dist.ReadFile(path.Join("dist", e.Name()))
		kind := contentTypes[path.Ext(e.Name())]
		if err != nil || kind == "" {
			continue
		}
		sum := sha256.Sum256(body)
		stem := strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
		all[e.Name()] = &asset{
			url:         AssetsPath + stem + "-" + hex.EncodeToString(sum[:6]) + path.Ext(e.Name()),
			contentType: kind,
			body:        body,
			compressed:  compress(body, gzip.BestCompression),
		}
	}
	return all
})

// Assets returns a handler for the page's script, style and icon, at paths that begin with
// AssetsPath.
func Assets() http.Handler {
	byURL := make(map[string]*asset)
	for _, a := range assets() {
		byURL[a.url] = a
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := byURL[r.URL.Path]
		if a == nil {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.contentType)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Add("Vary", "Accept-Encoding")
		body := a.body
		if acceptsGzip(r) {
			h.Set("Content-Encoding", "gzip")
			body = a.compressed
		}
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
}
