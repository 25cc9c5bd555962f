package cluster

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/cluster/peer"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// dialAs connects to a node with the certificate of an identity; nil is none.
func dialAs(t *testing.T, n *node, who *pki.Identity) (*tls.Conn, error) {
	t.Helper()
	c := n.opts.Identity.PeerClientConfig("")
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if who == nil {
			return new(tls.Certificate), nil
		}
		return who.Certificate(), nil
	}
	conn, err := tls.Dial("tcp", n.member().Peer(), c)
	if err == nil {
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(patient))
	}
	return conn, err
}

// opens reports whether a route of the peer port does anything for an identity. Raft and push
// do if the connection stays open for a time.
func opens(t *testing.T, n *node, who *pki.Identity, route string, stays time.Duration) bool {
	t.Helper()
	conn, err := dialAs(t, n, who)
	if err != nil {
		return false
	}
	defer conn.Close()
	if len(route) == 1 && route != forwardedPath {
		if _, err := conn.Write(peer.Preamble(route[0], n.member().self)); err != nil {
			return false
		}
		conn.SetReadDeadline(time.Now().Add(stays))
		_, err := conn.Read(make([]byte, 1))
		return os.IsTimeout(err)
	}
	method, path, both := strings.Cut(route, " ")
	if !both {
		method, path = "GET", "/v1/scores"
	}
	status, body := call(t, conn, method, path, "{}")
	return !strings.Contains(body, "has the role") && status != http.StatusUnauthorized && status != 0 &&
		!strings.Contains(body, "was removed")
}

// call sends one HTTP request on a connection to the peer port; the status 0 is none.
func call(t *testing.T, conn *tls.Conn, method, path, body string) (status int, answer string) {
	t.Helper()
	fmt.Fprintf(conn, "%c%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"+
		"Connection: close\r\n\r\n%s", peer.ProtocolHTTP, method, path, len(body), body)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

// holders returns an identity of each kind that a group may meet. The group has a non-voter.
func (g *secureGroup) holders() map[string]*pki.Identity {
	g.t.Helper()
	removed := g.addSecure()
	removed.start()
	g.settle()
	who := removed.opts.Identity
	eventually(g.t, "a voter is removed", func() error {
		err := g.master().member().Leave(context.Background(), removed.opts.ID, true)
		if score.CodeOf(err) == score.NotFound {
			return nil // the attempt before, whose outcome was unknown
		}
		return err
	})
	removed.stop()
	g.nodes = g.nodes[:len(g.nodes)-1]
	for _, n := range g.running() {
		eventually(g.t, n.opts.ID+" knows of the removal", func() error {
			if !n.member().Removed(who.Member) {
				return fmt.Errorf("not yet")
			}
			return nil
		})
	}
	joiner := g.enroll(pki.Options{
		Dir: g.t.TempDir(), Member: "g1@joiner", Hosts: []string{"127.0.0.1"}, Now: g.fakeCalendar.now,
	}, access.Terms{})
	list := map[string]*pki.Identity{"none": nil, "joiner": joiner, "removed": who}
	for _, n := range g.nodes {
		if n.opts.Nonvoter {
			list["non-voter"] = n.opts.Identity
		} else if n != g.master() {
			list["voter"] = n.opts.Identity
		}
	}
	return list
}

func TestEveryRouteOfThePeerPortHasARole(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 2)
	g.addSecure(func(o *Options) { o.Nonvoter = true }).start()
	g.settle()
	holders := g.holders()
	master := g.master()
	roles := map[string]pki.Role{"joiner": pki.Joiner, "non-voter": pki.Nonvoter, "voter": pki.Voter}
	for _, r := range peerRoutes {
		if r.need < pki.Joiner {
			t.Errorf("%s is open to everybody", r.route)
		}
		for kind, who := range holders {
			if roles[kind] < r.need {
				if opens(t, master, who, r.route, patient) {
					t.Errorf("%s opens for %s", r.route, kind)
				}
				continue
			}
			eventually(t, r.route+" for "+kind, func() error {
				if !opens(t, master, who, r.route, 300*time.Millisecond) {
					return errors.New("it does not open")
				}
				return nil
			})
		}
	}
}

func TestOnlyVotersOpenRaftAndPush(t *testing.T) {
	needs := map[pki.Role][]string{}
	for _, r := range peerRoutes {
		needs[r.need] = append(needs[r.need], r.route)
	}
	for role, want := range map[pki.Role][]string{
		pki.NoRole: nil,
		pki.Joiner: {"GET /peer/v1/status", "POST /v1/cluster/enroll", "POST /v1/cluster/members"},
		pki.Voter:  {"<", ">", "POST /peer/v1/authority", "POST /peer/v1/drain", "POST /peer/v1/operator", "POST /peer/v1/promote"},
	} {
		if slices.Sort(needs[role]); !slices.Equal(needs[role], want) {
			t.Errorf("%q need the role %s; want %q", needs[role], role, want)
		}
	}
	if n := protocolNeeds; len(n) != 2 || n[peer.ProtocolRaft] != pki.Voter || n[peer.ProtocolPush] != pki.Voter {
		t.Errorf("the protocols need %v", n)
	}
}

func TestAJoinerOpensNothingThatTheTableOfThePeerPortDoesNotHave(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 2)
	g.addSecure(func(o *Options) { o.Nonvoter = true }).start()
	g.settle()
	holders, master := g.holders(), g.master()
	// What is not in the table needs the role of those who forward requests of clients.
	for _, route := range []string{"GET /peer/v1/other", "POST /peer/v1/status", "DELETE /v1/cluster/members/f1"} {
		if opens(t, master, holders["joiner"], route, patient) {
			t.Errorf("%s opens for a joiner", route)
		}
	}
}
