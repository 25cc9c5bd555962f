package pki

import (
	"crypto/x509"
	"slices"
	"strings"

	"laurel/internal/address"
)

// Role is what a certificate permits its holder to do at the ports of the members. Each
// role includes those before it.
type Role int

const (
	NoRole   Role = iota // a certificate that permits nothing
	Joiner               // ask for the status, and to be made a member
	Nonvoter             // all that a member may do who does not decide
	Voter                // speak as Raft's candidate or leader, push, hold the authority's key
)

var roleNames = [...]string{"none", "joiner", "non-voter", "voter"}

// String returns the name of the role, which is the OrganizationalUnit in a certificate.
func (r Role) String() string { return roleNames[r] }

func parseRole(units []string) Role {
	if len(units) != 1 {
		return NoRole
	}
	return Role(max(0, slices.Index(roleNames[:], units[0])))
}

// Holder is what a certificate states of its holder.
type Holder struct {
	Member string // id@instance
	Role   Role
	Hosts  []string // names and addresses, sorted
}

// HolderOf returns the holder of a certificate. It does not verify the certificate.
func HolderOf(c *x509.Certificate) (h Holder, err error) {
	if h.Member, err = memberOf(c.URIs); err != nil {
		return Holder{}, err
	}
	if h.Role = parseRole(c.Subject.OrganizationalUnit); h.Role == NoRole {
		return Holder{}, refuse(NotMember, "the certificate of %q has no role", h.Member)
	}
	h.Hosts = slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		h.Hosts = append(h.Hosts, ip.String())
	}
	slices.Sort(h.Hosts)
	return h, nil
}

// MaxHosts is the most names and addresses of one certificate.
const MaxHosts = 16

// CheckHost returns an error if a host cannot be in a certificate.
func CheckHost(host string) error { return address.CheckHost(strings.TrimPrefix(host, "*.")) }

// LoopbackHosts reach the machine of the one who uses them, so each certificate of a
// member may have them.
var LoopbackHosts = []string{"127.0.0.1", "::1", "localhost"}
