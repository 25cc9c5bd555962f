package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cluster/enroll"
	"laurel/cluster/peer"
	"laurel/score"
)

const (
	// awaitMaster is how long a forwarded request waits for a master to be there: about two elections, so that those who ask while one is
	// lost are answered a little later rather than refused.
	awaitMaster = 1500 * time.Millisecond
	// forwardPause is how often a master is asked again that has no lease yet, at most: it gets one within two round trips of its beginning.
	forwardPause = 5 * time.Millisecond
	// forwardLimit bounds one attempt to let a master answer.
	forwardLimit = time.Second
	// maxForwarded bounds the body of a forwarded request; posts do not go this way.
	maxForwarded = 1 << 20
)

// Forward lets the master answer an HTTP request. It waits for a master for a moment if there is none. With an error, always a
// *score.Problem, nothing has been written. Requests other than GET and HEAD are sent to one master only, because it may have acted on them.
// An answer that breaks off ends the request with http.ErrAbortHandler.
func (m *Member) Forward(w http.ResponseWriter, r *http.Request) error {
	body, err := forwardedBody(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), m.scaled(awaitMaster))
	defer cancel()
	for {
		master, changed := m.masters.now()
		if master != "" && master != m.opts.Peer {
			sent, err := m.forwardTo(master, changed, w, r, body)
			if err == nil {
				return nil
			}
			if sent && !harmless(r.Method) {
				return score.Problemf(score.OutcomeUnknown, "the master did not answer; see what became of the request before repeating it")
			}
		}
		if m.leads() != nil || m.Leased() {
			return peer.NotMaster() // this one is the master now, or may answer by itself: the caller asks again here
		}
		select {
		case <-changed:
		case <-time.After(forwardPause):
		case <-ctx.Done():
			return peer.NoMaster()
		}
	}
}

// forwardedBody reads the body, because each attempt needs it whole.
func forwardedBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || harmless(r.Method) {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForwarded))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, score.Problemf(score.TooLarge, "the body is larger than %d bytes", large.Limit)
	case err != nil:
		return nil, score.Problemf(score.InvalidEvent, "the body could not be read: %v", err)
	}
	return body, nil
}

// forwardTo makes one attempt. Sent tells that the master may have got the request.
func (m *Member) forwardTo(master string, changed <-chan struct{}, w http.ResponseWriter, r *http.Request, body []byte) (sent bool, failed error) {
	limit := m.scaled(forwardLimit)
	if !harmless(r.Method) {
		// Who only reads asks the next master as soon as there is one. Who changes something waits: it may be the change of master itself.
		limit, changed = m.scaled(joinLimit), nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	answered := make(chan struct{})
	go func() {
		select {
		case <-answered: // what has begun is not broken off, however slowly the caller takes it
			return
		case <-changed:
		case <-time.After(limit):
		case <-ctx.Done():
		}
		cancel()
	}()
	proxy := httputil.ReverseProxy{
		Transport: m.port,
		ErrorLog:  slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", master
			p.Out.Host = r.Host
		},
		ModifyResponse: func(resp *http.Response) error {
			// The member asked is no longer the master, or could not prove to be: that is no answer for a caller who may ask another.
			if resp.Header.Get(notMasterHeader) != "" || harmless(r.Method) && resp.StatusCode == http.StatusServiceUnavailable {
				return errNoMaster
			}
			close(answered)
			// What this frontend has set already is its own.
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
	return failed != nil && !peer.DialFailed(failed) && !errors.Is(failed, errNoMaster), failed
}

func harmless(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// notMasterHeader marks an answer of a member that was asked as master and is not.
const notMasterHeader = "Laurel-Not-Master"

// peerHandler answers the other members: its own calls under /peer/v1/, and under any other path what clients ask them and they forward.
func (m *Member) peerHandler(forwarded http.Handler) http.Handler {
	mux := http.NewServeMux()
	own := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				m.writePeerError(w, r, err)
			}
		})
	}
	own("POST /peer/v1/posts", m.takeForwarded)
	own("POST /peer/v1/poll", m.takePoll)
	own("GET /peer/v1/term", func(w http.ResponseWriter, _ *http.Request) error {
		return json.MarshalWrite(w, termAnswer{m.self, m.raft.CurrentTerm()})
	})
	own("GET /peer/v1/status", func(w http.ResponseWriter, r *http.Request) error {
		from := peer.FromContext(r.Context())
		if m.opts.Identity == nil {
			from = r.URL.Query().Get("from")
		}
		return json.MarshalWrite(w, m.status(from))
	})
	own("GET /peer/v1/ready", func(_ http.ResponseWriter, r *http.Request) error {
		if m.leads() == nil {
			return peer.NotMaster()
		}
		return m.masterReady(r.Context())
	})
	own("POST "+enroll.CertificatePath, m.issuer.ServeCertificate)
	own("POST "+enroll.KeysPath, m.issuer.ServeKeys)
	own("POST /peer/v1/removed", func(http.ResponseWriter, *http.Request) error {
		m.neighbour.askNow()
		return nil
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if m.leads() == nil {
			w.Header().Set(notMasterHeader, "1")
			m.writePeerError(w, r, peer.NotMaster())
			return
		}
		forwarded.ServeHTTP(w, r)
	})
	return m.auth.RequireMember(mux, m.tellRemoved)
}

// writePeerError answers a call of another member with an error.
func (m *Member) writePeerError(w http.ResponseWriter, r *http.Request, err error) {
	var p *score.Problem
	if !errors.As(err, &p) {
		m.log.Warn("a call of another member failed", "path", r.URL.Path, "err", err)
		p = score.Problemf(score.InvalidEvent, "%s", err)
	}
	peer.WriteProblem(w, p)
}
