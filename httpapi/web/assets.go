package web

import (
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

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

// assetURL returns the URL of a file in dist, or "" if there is none.
func assetURL(name string) string {
	if a := assets()[name]; a != nil {
		return a.url
	}
	return ""
}

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
