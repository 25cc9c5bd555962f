// Package web serves Laurel's live page, the answer of GET / to a browser. [Page] renders
// the scores on the server, so that they can be read before any script has run and
// without scripts. The page's script then keeps them up to date by GET /v1/watch from any
// frontend.
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
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/httpapi/handler"
	"laurel/internal/address"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/medal"
)

//go:generate go run -C build .

// Data is the state that the page is served with. The script goes on from its Revision.
type Data struct {
	// Scores has the first contests of each section, and Sections the numbers of all. In
	// Medals are the latest tables that have medals.
	Scores    []score.Record    `json:"scores"`
	Medals    []medal.Standings `json:"medals"`
	Sections  score.Sections    `json:"sections"`
	Frontends score.Frontends   `json:"frontends"`
	Revision  uint64            `json:"revision"`
	// Frontend is the id of the serving frontend, at the page's origin.
	Frontend string `json:"frontend"`
	// Incarnation is that of the revisions, if the store has one yet. When it changes, the
	// page forgets what it knew: the revisions of a new store at the same address mean
	// something else.
	Incarnation string `json:"incarnation,omitzero"`
	// SignedIn is true if the page is for a session, which it can then end.
	SignedIn bool `json:"signed_in,omitzero"`
}

// policy returns the content security policy of a page at a host: it loads only its own
// files and connects only to the frontends that are known when it is served and can be
// reached from there. It must be reloaded to connect to frontends that were added later.
func policy(d *Data, host string) string {
	var b strings.Builder
	b.WriteString("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'")
	for _, f := range d.Frontends.Frontends {
		// An address has no character that could begin another directive.
		if u, err := address.Parse(f.URL); err == nil && u.ReachedFrom(address.Hostname(host)) {
			b.WriteString(" " + u.Origin())
		}
	}
	b.WriteString("; base-uri 'none'; form-action ")
	if d.SignedIn {
		b.WriteString("'self'")
	} else {
		b.WriteString("'none'")
	}
	b.WriteString("; frame-ancestors 'none'")
	return b.String()
}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"rank": textfmt.Rank}).Parse(pageText))

// Page writes the live page, if hold takes its length. If it returns an error, it has
// written nothing. It is safe for concurrent use.
func Page(w http.ResponseWriter, r *http.Request, d Data, hold func(n int) error) error {
	shown := sections(d.Scores, d.Sections)
	data := servedData{d, time.Now().UnixMilli()}
	data.Scores = nil // the script asks for those that are not shown
	for _, s := range shown {
		for _, r := range s.contests {
			data.Scores = append(data.Scores, *r)
		}
	}
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
	if err := hold(b.Len()); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy(&d, r.Host))
	h.Set("Referrer-Policy", referrerPolicy)
	h.Set("Cache-Control", "no-cache")
	if d.SignedIn {
		h.Set("Cache-Control", "no-store") // nor shown by going back, once the user has signed out
	}
	write(w, r, typeHTML, b.Bytes(), func() []byte { return compress(b.Bytes(), gzip.BestSpeed) })
	return nil
}

const typeHTML = "text/html; charset=utf-8"

// write writes a body, compressed for clients that accept gzip.
func write(w http.ResponseWriter, r *http.Request, contentType string, body []byte, compressed func() []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Accept-Encoding")
	if handler.Weight(r.Header["Accept-Encoding"], "gzip") > 0 {
		h.Set("Content-Encoding", "gzip")
		body = compressed()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // an error means that the client is gone
}

// servedData is the JSON in the page that the script starts from. It has the time because
// a browser may show a page from its cache.
type servedData struct {
	Data
	ServedAt int64 `json:"served_at"` // milliseconds since 1970
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

// asset is a file of the page, cached forever: its path contains a hash of its content.
type asset struct {
	path        string
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
			path:        AssetsPath + stem + "-" + hex.EncodeToString(sum[:6]) + path.Ext(e.Name()),
			contentType: kind,
			body:        body,
			compressed:  compress(body, gzip.BestCompression),
		}
	}
	return all
})

// Assets returns a handler for the page's files, at paths that begin with AssetsPath.
func Assets() http.Handler {
	byPath := make(map[string]*asset)
	for _, a := range assets() {
		byPath[a.path] = a
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := byPath[r.URL.Path]
		if a == nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		write(w, r, a.contentType, a.body, func() []byte { return a.compressed })
	})
}
