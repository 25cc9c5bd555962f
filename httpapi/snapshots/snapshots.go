// Package snapshots answers operators with a snapshot of the whole store.
package snapshots

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"net/http"
	"strconv"
	"time"

	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/score"
)

const (
	// maxAtOnce bounds the snapshots that are written at once. Each takes a processor.
	maxAtOnce = 2
	// pieceBytes are written at once, in at most pieceTimeout: a client that does not read
	// must not keep what the snapshot sees in the database. wholeTimeout bounds one that
	// reads slowly.
	pieceBytes   = 64 << 10
	pieceTimeout = 30 * time.Second
	wholeTimeout = 30 * time.Minute
)

// Store takes snapshots.
type Store interface {
	// Snapshot returns a snapshot that has every event which was acknowledged before the
	// call. The error is cache.ErrNotLeased if this frontend may not answer now.
	Snapshot(ctx context.Context) (*queries.Snapshot, error)
}

// Handlers answer with snapshots.
type Handlers struct {
	store        Store
	places       chan struct{} // has a token for each snapshot that is written
	pieceTimeout time.Duration // the constant, but shorter in a test
}

// New returns Handlers.
func New(s Store) *Handlers { return &Handlers{s, make(chan struct{}, maxAtOnce), pieceTimeout} }

// fileType is the media type of snapshot files.
const fileType = "application/gzip"

// Get answers with a snapshot file, which it writes while it reads the store. The trailer has
// the digest of the file. If the snapshot cannot be written to its end the answer breaks off.
func (h *Handlers) Get(ctx context.Context, r *handler.Request) (handler.Response, error) {
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		return handler.Response{}, score.Problemf(score.RateLimited,
			"this frontend writes %d snapshots already; wait until one is complete, or ask another frontend", maxAtOnce)
	}
	s, err := h.store.Snapshot(ctx)
	if err != nil {
		return handler.Response{}, err
	}
	defer s.Release()
	// The file names the time, so two of the same state are not the same byte for byte.
	tag := `"` + s.Tag() + `"`
	if handler.MatchesETag(r.IfNoneMatch, tag) {
		return handler.Response{Status: http.StatusNotModified, ETag: "W/" + tag, CacheControl: "no-store"}, nil
	}
	r.Stream = true
	w, _ := r.Transport()
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", fileType)
	header.Set("Etag", "W/"+tag)
	header.Set("Laurel-Revision", strconv.FormatUint(s.Revision, 10))
	if r.Method == http.MethodHead {
		return handler.Written, nil
	}
	header.Set("Trailer", digestField)
	f := &file{w, http.NewResponseController(w), h.pieceTimeout, time.Now().Add(wholeTimeout), sha256.New()}
	buffer := bufio.NewWriterSize(f, pieceBytes)
	if err = s.Write(buffer, time.Now()); err == nil {
		err = buffer.Flush()
	}
	if err != nil {
		// The client must not take what it has for the whole.
		panic(http.ErrAbortHandler)
	}
	header.Set(digestField, "sha-256=:"+base64.StdEncoding.EncodeToString(f.sum.Sum(nil))+":") // RFC 9530
	return handler.Written, nil
}

const digestField = "Repr-Digest"

// file writes the answer in bounded time.
type file struct {
	w            http.ResponseWriter
	control      *http.ResponseController
	pieceTimeout time.Duration
	until        time.Time
	sum          hash.Hash
}

func (f *file) Write(b []byte) (int, error) {
	f.sum.Write(b)
	deadline := time.Now().Add(f.pieceTimeout)
	if f.until.Before(deadline) {
		deadline = f.until
	}
	_ = f.control.SetWriteDeadline(deadline) // fails without a connection
	return f.w.Write(b)
}
