package cluster

import (
	"net/http"

	"github.com/hashicorp/raft"

	"laurel/cluster/certify"
	"laurel/cluster/enroll"
	"laurel/cluster/forward"
	"laurel/cluster/join"
	"laurel/cluster/peer"
	"laurel/cluster/poll"
	"laurel/cluster/readindex"
	"laurel/cluster/status"
	"laurel/trust/access"
	"laurel/trust/pki"
)

const (
	// removedPath is where a member learns that it may have been removed, and asks the
	// others.
	removedPath = "/peer/v1/removed"
	// forwardedPath is the pattern of all requests of clients but those that have their
	// own.
	forwardedPath = "/"
)

// peerRoute is something that the peer port does for those who have a role.
type peerRoute struct {
	route string // a protocol, or a pattern of http.ServeMux
	need  pki.Role
}

// peerRoutes is everything that the peer port does. Requests with a path outside
// /peer/v1/ are a client's, which a member forwards to the master.
var peerRoutes = []peerRoute{
	{string(peer.ProtocolRaft), pki.Voter},
	{string(peer.ProtocolPush), pki.Voter},
	{"POST " + enroll.PromotePath, pki.Voter},
	{"POST " + enroll.KeysPath, pki.Voter},
	{"POST " + enroll.OperatorPath, pki.Voter},
	{"POST " + drainPath, pki.Voter},
	{"POST " + enroll.CertificatePath, pki.Nonvoter},
	{"POST " + postsPath, pki.Nonvoter},
	{"POST " + poll.Path, pki.Nonvoter},
	{"GET " + readindex.TermPath, pki.Nonvoter},
	{"GET " + readyPath, pki.Nonvoter},
	{"POST " + removedPath, pki.Nonvoter},
	{"POST " + certify.Path, pki.Nonvoter},
	{"GET " + status.Path, pki.Joiner},
	{"POST " + join.MembersPath, pki.Joiner},
	{"POST " + pki.EnrollPath, pki.Joiner},
	{forwardedPath, pki.Nonvoter},
}

// protocolNeeds has the protocols of peerRoutes.
var protocolNeeds = func() map[byte]pki.Role {
	needs := map[byte]pki.Role{}
	for _, r := range peerRoutes {
		if len(r.route) == 1 && r.route != forwardedPath {
			needs[r.route[0]] = r.need
		}
	}
	return needs
}()

// followed returns the member that Raft follows, or this one if it leads; "" for none.
func (r *replica) followed() raft.ServerID {
	_, leader := r.raft.LeaderWithID()
	return leader
}

// peerHandler returns the handler of requests of other members.
func (m *Member) peerHandler(forwarded http.Handler) http.Handler {
	calls := map[string]func(http.ResponseWriter, *http.Request) error{
		"POST " + postsPath:              m.serveForwarded,
		"POST " + poll.Path:              m.polls.Serve,
		"GET " + readindex.TermPath:      m.rounds.ServeTerm,
		"GET " + readyPath:               m.serveReady,
		"GET " + status.Path:             m.source.Serve,
		"POST " + enroll.CertificatePath: m.issuer.ServeCertificate,
		"POST " + enroll.KeysPath:        m.issuer.ServeKeys,
		"POST " + enroll.PromotePath:     m.issuer.ServePromote,
		"POST " + enroll.OperatorPath:    m.issuer.ServeOperator,
		"POST " + certify.Path:           m.certifier.Serve,
		"POST " + drainPath:              m.serveDrain,
		"POST " + removedPath: func(http.ResponseWriter, *http.Request) error {
			m.poller.PollNow()
			return nil
		},
	}
	ofClients := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.leadership() == nil {
			w.Header().Set(forward.NotMasterHeader, "1")
			peer.WriteProblem(w, peer.NotMaster())
			return
		}
		if peer.HolderFrom(r.Context()).Role == pki.Joiner { // it forwards nothing for others
			r.Header.Del(access.CallerHeader)
		}
		forwarded.ServeHTTP(w, r)
	})
	mux := http.NewServeMux()
	for _, r := range peerRoutes {
		if _, protocol := protocolNeeds[r.route[0]]; protocol && len(r.route) == 1 {
			continue
		}
		var h http.Handler = ofClients
		if call := calls[r.route]; call != nil {
			h = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if err := call(w, q); err != nil {
					m.writePeerError(w, q, err)
				}
			})
		}
		mux.Handle(r.route, m.auth.Require(r.need, h))
	}
	return m.auth.RequireMember(mux, m.source.ServeRemoved)
}
