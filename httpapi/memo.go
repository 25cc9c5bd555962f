package httpapi

import (
	"laurel/cache"
	"laurel/httpapi/handler"
)

// memo is the Memo of a cache entry: what follows from the entry and is made once for all
// readers.
type memo struct {
	etag string
	// head and notModifiedHead are the heads of the fast path's answers, nil until there
	// was one.
	head, notModifiedHead []byte
}

// memoOf returns the memo of an entry, nil if there is none yet.
func memoOf(e *cache.Entry) *memo {
	m, _ := e.Memo.Load().(*memo)
	return m
}

// etagOf returns the tag of an answer in JSON.
func etagOf(e *cache.Entry) string {
	m := memoOf(e)
	if m == nil {
		m = &memo{etag: handler.ETag(e.Body)}
		e.Memo.Store(m)
	}
	return m.etag
}
