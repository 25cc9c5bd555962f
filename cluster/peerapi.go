package cluster

import (
	"errors"
	"net/http"

	"laurel/cluster/enroll"
	"laurel/cluster/peer"
	"laurel/cluster/polling"
	"laurel/cluster/status"
	"laurel/score"
)

// removedPath is where a member learns that it may have been removed, and asks the others.
const removedPath = "/peer/v1/removed"

// peerHandler returns the handler of requests of other members. Paths under /peer/v1/ are calls
// between members; with any other path a member forwards a client's request to the master, which
// forwarded answers.
func (m *Member) peerHandler(forwarded http.Handler) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				m.writePeerError(w, r, err)
			}
		})
	}
	handle("POST "+postsPath, m.posts.serveForwarded)
	handle("POST "+polling.Path, m.polls.Serve)
	handle("GET "+termPath, m.readIndex.serveTerm)
	handle("GET "+readyPath, m.readiness.serve)
	handle("GET "+status.Path, m.source.Serve)
	handle("POST "+enroll.CertificatePath, m.issuer.ServeCertificate)
	handle("POST "+enroll.KeysPath, m.issuer.ServeKeys)
	handle("POST "+removedPath, func(http.ResponseWriter, *http.Request) error {
		m.poller.PollNow()
		return nil
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if m.elections.current() == nil {
			w.Header().Set(notMasterHeader, "1")
			peer.WriteProblem(w, peer.NotMaster())
			return
		}
		forwarded.ServeHTTP(w, r)
	})
	return m.auth.RequireMember(mux, m.source.ServeRemoved)
}

// writePeerError answers a call of another member with an error.
func (r *replica) writePeerError(w http.ResponseWriter, req *http.Request, err error) {
	var p *score.Problem
	if !errors.As(err, &p) {
		r.log.Warn("a call of another member failed", "path", req.URL.Path, "err", err)
		p = score.Problemf(score.InvalidEvent, "%s", err)
	}
	peer.WriteProblem(w, p)
}
