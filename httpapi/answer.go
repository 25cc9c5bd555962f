package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"laurel/cache"
	"laurel/cache/queries"
)

func writeBody(w http.ResponseWriter, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client is gone; nobody is left to tell
}

func decimalOf(n uint64) string { return strconv.FormatUint(n, 10) }

// etag is strong: it follows from the bytes alone, so every frontend gives the same answer the same tag.
func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// tagOf is the tag of an answer in JSON, made once.
func tagOf(e *cache.Entry) string {
	m := memoOf(e)
	if m == nil {
		m = &memo{etag: etag(e.Body)}
		e.Memo.Store(m)
	}
	return m.etag
}

// memo is the Memo of a cache entry: the parts of an HTTP response that follow from it.
type memo struct {
	etag string
	head []byte // nil until the answer is first given by the fast path
}

// memoOf returns the memo of an entry, or nil if there is none yet.
func memoOf(e *cache.Entry) *memo {
	m, _ := e.Memo.Load().(*memo)
	return m
}

// matches tells whether one of the lists of an If-None-Match names tag. It compares weakly, as RFC 9110 has it for this header.
func matches(lists []string, tag string) bool {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// say writes an answer about this frontend or the group, which has no revision.
func say(w http.ResponseWriter, r *http.Request, value any, text func(*bytes.Buffer)) error {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept")
	if wantsText(r) {
		var b bytes.Buffer
		text(&b)
		writeBody(w, typeText, b.Bytes())
		return nil
	}
	body, err := queries.Encode(value)
	if err != nil {
		return err
	}
	writeBody(w, typeJSON, body)
	return nil
}
