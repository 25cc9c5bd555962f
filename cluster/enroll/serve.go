package enroll

import (
	"io"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/internal/address"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// ServeCertificate answers a member's request for a new certificate.
func (i *Issuer) ServeCertificate(w http.ResponseWriter, r *http.Request) error {
	if p := i.requireMaster(); p != nil {
		return p
	}
	csr, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return err
	}
	issued, err := i.renewal(csr, peer.HolderFrom(r.Context()))
	if err != nil {
		return err
	}
	return json.MarshalWrite(w, issued)
}

// renewal issues a certificate for a new key, with the role and the hosts of the old one.
// The hosts that the request names are added for a voter only: it holds the authority's
// key and could make that certificate itself. A non-voter gets the one at which the
// configuration has it.
func (i *Issuer) renewal(csr []byte, h pki.Holder) (*pki.IssuedCertificate, error) {
	public, wished, err := parseRequest(csr, h.Member)
	if err != nil {
		return nil, invalid("csr", "%v", err)
	}
	id := raft.ServerID(h.Member)
	if s, in := peer.Find(i.Auth.Servers(), id); in {
		if s.Suffrage != raft.Voter || h.Role != pki.Voter {
			wished = nil
		}
		h.Hosts = i.allowed(id, append(wished, address.Hostname(string(s.Address))), nil, h.Hosts)
	}
	return i.issue(public, h)
}

// keysAnswer has authorities with their private keys.
type keysAnswer struct {
	Authorities [][]byte `json:"authorities"` // in PEM
}

// ServeKeys answers a voter's request for the keys of the trusted authorities.
func (i *Issuer) ServeKeys(w http.ResponseWriter, r *http.Request) error {
	if p := i.requireMaster(); p != nil {
		return p
	}
	id := raft.ServerID(peer.FromContext(r.Context()))
	if p := i.requireVoter(id, "gets the key of the authority"); p != nil {
		return p
	}
	var answer keysAnswer
	for _, der := range i.Auth.Access().Authorities {
		if a := i.Auth.Identity.Authority(access.Fingerprint(der)); a != nil {
			text, err := a.Encode()
			if err != nil {
				return err
			}
			answer.Authorities = append(answer.Authorities, text)
		}
	}
	i.Auth.Logger.Info("sent the key of the authority to a voter", "member", peer.MemberID(id))
	return json.MarshalWrite(w, answer)
}
