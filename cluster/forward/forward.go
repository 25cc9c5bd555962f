// Package forward lets the master answer HTTP requests of clients.
package forward

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"laurel/cluster/join"
	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/score"
	"laurel/trust/access"
)

const (
	// MasterTimeout is how long a forwarded request waits for a master: about two
	// elections, so that requests during a failover are answered a little later instead
	// of refused.
	MasterTimeout = 1500 * time.Millisecond
	// maxPause is the longest pause between two requests to a master that has no
	// lease yet. It gets one within two round trips.
	maxPause = 10 * time.Millisecond
	// Timeout bounds one attempt to let the master answer.
	Timeout = time.Second
	// MaxBody bounds the body of a forwarded request. Posts are forwarded in another way.
	MaxBody = 1 << 20
	// NotMasterHeader is on the answer of a member that was asked as the master and is
	// not.
	NotMasterHeader = "Laurel-Not-Master"
	ownPrefix       = "Laurel-" // of the names of Laurel's own header fields
)

// Config configures a Forwarder.
type Config struct {
	Self   string // the peer address of this member
	Leader *status.LeaderWatch
	Port   *peer.Port
	Scale  func(time.Duration) time.Duration
	// Answers reports whether this member can answer now.
	Answers func() bool
	Logger  *slog.Logger
}

// Forwarder lets the master answer HTTP requests.
type Forwarder struct {
	c Config
}

// New returns a Forwarder.
func New(c Config) *Forwarder { return &Forwarder{c} }

// Forward lets the master answer a request of a client whose connection has the
// certificate of member, id@instance; "" for none. It waits a moment for a master if there is
// none. With an error, always a *score.Problem, nothing was written. It sends a request
// other than GET and HEAD to one master only. An answer that breaks off ends the request
// with http.ErrAbortHandler.
func (f *Forwarder) Forward(w http.ResponseWriter, r *http.Request, member string) (err error) {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), f.c.Scale(MasterTimeout))
	defer cancel()
	timedOut := f.c.Leader.Try(ctx, maxPause, func(master string, changed <-chan struct{}) (done bool) {
		if master != "" && master != f.c.Self {
			sent, failed := f.forwardTo(master, changed, w, r, body, member)
			if failed == nil {
				return true
			}
			if sent && !isRead(r.Method) {
				err = score.Problemf(score.OutcomeUnknown,
					"the master did not answer; check what became of the request before you repeat it")
				return true
			}
		}
		if f.c.Answers() {
			err = peer.NotMaster() // this member can answer now; the client asks again here
			return true
		}
		return false
	})
	if timedOut != nil {
		return peer.NoMaster()
	}
	return err
}

// setCaller names the caller of a request that is forwarded, whatever the client has sent
// in header fields that have a meaning between members.
func setCaller(h http.Header, member string) {
	maps.DeleteFunc(h, func(name string, _ []string) bool {
		return len(name) >= len(ownPrefix) && strings.EqualFold(name[:len(ownPrefix)], ownPrefix)
	})
	h.Set(access.CallerHeader, cmp.Or(member, access.NoMember))
}

// readBody reads the body, because each attempt needs all of it.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || isRead(r.Method) {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, score.Problemf(score.TooLarge, "the body is larger than %d bytes", MaxBody)
	}
	if err != nil {
		return nil, score.Problemf(score.InvalidEvent, "read the body: %v", err)
	}
	return body, nil
}

// isRead reports whether a request with the method changes nothing.
func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// forwardTo makes one attempt. sent is true if the master may have received the request.
func (f *Forwarder) forwardTo(
	master string, changed <-chan struct{}, w http.ResponseWriter, r *http.Request, body []byte, member string,
) (sent bool, failed error) {
	limit := f.c.Scale(Timeout)
	if !isRead(r.Method) {
		// A read asks the next master as soon as there is one. A change waits: it may be
		// the change of the master itself.
		limit, changed = f.c.Scale(join.Timeout), nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	answered := make(chan struct{})
	go func() {
		select {
		case <-answered: // an answer that has begun goes on, however slowly the client reads it
			return
		case <-changed:
		case <-time.After(limit):
		case <-ctx.Done():
		}
		cancel()
	}()
	proxy := httputil.ReverseProxy{
		Transport: f.c.Port,
		ErrorLog:  slog.NewLogLogger(f.c.Logger.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", master
			p.Out.Host = "" // the master's: the client's is a name of this frontend
			setCaller(p.Out.Header, member)
		},
		ModifyResponse: func(resp *http.Response) error {
			// The member is not the master any more, or could not prove that it is.
			// Another one may answer.
			unavailable := isRead(r.Method) && resp.StatusCode == http.StatusServiceUnavailable
			if resp.Header.Get(NotMasterHeader) != "" || unavailable {
				return peer.NotMaster()
			}
			close(answered)
			// The headers that this frontend has set already take precedence.
			for name := range w.Header() {
				resp.Header.Del(name)
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	out := r.WithContext(ctx)
	out.Body, out.ContentLength, out.TransferEncoding = http.NoBody, int64(len(body)), nil
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	proxy.ServeHTTP(w, out)
	return failed != nil && !peer.DialFailed(failed) && score.CodeOf(failed) != score.NoMaster, failed
}
