package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cluster"
	"laurel/cluster/batch"
	"laurel/cluster/peer"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// identity returns the certificate and key in the data directory of the frontend.
func (f *frontend) identity() *pki.Identity {
	t := f.group.t
	t.Helper()
	member, err := cluster.ServerID(f.data, f.id)
	if err != nil {
		t.Fatal(err)
	}
	i, err := pki.Open(pki.Options{Dir: filepath.Join(f.data, "trust"), Member: member, Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// sendAs sends a request, as it is, to addr over TLS with the certificate of a member.
// first is sent before the request. A frontend closes a connection on which this busy process
// is slow, so it sends again until there is an answer.
func sendAs(t *testing.T, i *pki.Identity, addr, first, head string, body []byte) (status int, answer string) {
	t.Helper()
	head = strings.ReplaceAll(strings.TrimSpace(head), "\n", "\r\n")
	eventually(t, addr+" answers a member", func() error {
		c, err := tls.Dial("tcp", addr, i.PeerClientConfig(""))
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "%s%s\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			first, head, addr, len(body), body)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		read, err := io.ReadAll(res.Body)
		status, answer = res.StatusCode, string(read)
		return err
	})
	return status, answer
}

// sendToMaster sends a request as sendAs does, to the peer port of the master, with the
// certificate of a frontend that is neither the master nor the spared one.
func (g *secureGroup) sendToMaster(
	t *testing.T, spared *frontend, head string, body []byte,
) (status int, answer string) {
	t.Helper()
	eventually(t, "the master answers a member", func() error {
		master := g.master()
		i := slices.IndexFunc(g.frontends, func(f *frontend) bool { return f != master && f != spared })
		status, answer = sendAs(t, g.frontends[i].identity(), master.peer, string(peer.ProtocolHTTP), head, body)
		if strings.Contains(answer, string(score.NoMaster)) {
			return fmt.Errorf("%s is not the master any more: %d %s", master.id, status, answer)
		}
		return nil
	})
	return status, answer
}

// newBard makes a token for a bard.
func (g *secureGroup) newBard(name string) (id, token string) {
	g.t.Helper()
	var made access.GrantResponse
	a := g.must(g.running()[0], "POST", "/v1/access/grants", fmt.Sprintf(`{"name":%q,"role":"bard"}`, name))
	if err := json.Unmarshal([]byte(a.body), &made); err != nil {
		g.t.Fatal(err)
	}
	g.secret(made.Token)
	return made.ID, made.Token
}

func TestAMembersCertificateMakesUpNoEventByToken(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 3)
	id, token := g.newBard("bard/victim")
	liar := g.follower()
	for i, media := range []string{"application/json", "application/x-ndjson"} {
		body := fmt.Sprintf(`{"id":"true-%d","type":"alert","contest_id":"OG50BC/fog","data":{"text":"fog"}}`, i) + "\n"
		eventually(t, "post by token through a follower", func() error {
			a, err := ask("POST", liar.url+"/v1/events", body, "Authorization", "Bearer "+token, "Content-Type", media)
			if err == nil && (a.status != http.StatusOK || strings.Contains(a.body, "problem")) {
				err = fmt.Errorf("%d %s", a.status, a.body)
			}
			return err
		})
	}
	forged := score.Event{ID: "forged", IDGiven: true, Source: "bard/victim", Type: score.TypeAlert, Time: time.Now(),
		ContestID: "OG50BC/fog", Data: &score.Alert{Text: "forged"}, Token: id}
	encoded, err := entry.EncodePost(score.Post{Events: []score.Event{forged}})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []score.Secret{"", "guessed"} {
		status, answer := g.sendToMaster(t, nil, "POST /peer/v1/posts HTTP/1.1",
			batch.Encode([]*batch.Post{batch.NewPost(encoded, secret)}))
		if !strings.Contains(answer, string(score.Unauthorized)) {
			t.Errorf("with the secret %q: got %d %s", string(secret), status, answer)
		}
	}
	for _, f := range g.frontends {
		if a := get(t, f.url+"/v1/timeline/OG50BC/fog"); !strings.Contains(a.body, "true-1") ||
			strings.Contains(a.body, "forged") {
			t.Errorf("%s shows %s", f.id, a.body)
		}
	}
	g.expectSecretsKept()
}

func TestACertificateAtAFollowerChangesNothingOfAnotherMember(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 3)
	master, follower := g.master(), g.follower()
	var other *frontend
	for _, f := range g.frontends {
		if f != master && f != follower {
			other = f
		}
	}
	i := other.identity()
	body := fmt.Appendf(nil, `{"id":%q,"peer":%q,"url":%q,"voter":true}`, follower.id, follower.peer, follower.url)
	for _, fields := range []string{
		"", "Connection: Laurel-Caller", "connection: laurel-caller", "Connection: keep-alive, laurel-caller",
		"Laurel-Caller: " + follower.id + "@x", "laurel-caller: -\nConnection: close, Laurel-Caller",
		"Laurel-Caller:", "Connection: Laurel-Caller\nConnection: Authorization",
	} {
		for _, head := range []string{
			"POST /v1/cluster/members HTTP/1.1", "DELETE /v1/cluster/members/" + follower.id + "?force HTTP/1.1",
		} {
			status, answer := sendAs(t, i, follower.http, "", head+"\n"+fields, body)
			if status != http.StatusForbidden && status != http.StatusUnauthorized {
				t.Errorf("%s, %q: got %d %s", head, fields, status, answer)
			}
		}
	}
	// At the peer port, a caller can be named, but an operator's change needs the token.
	for head, want := range map[string]int{
		"POST /v1/cluster/transfer HTTP/1.1":                         http.StatusForbidden,
		"GET /v1/audit HTTP/1.1":                                     http.StatusForbidden,
		"GET /v1/audit HTTP/1.1\nLaurel-Caller: -":                   http.StatusUnauthorized,
		"POST /v1/cluster/transfer HTTP/1.1\nLaurel-Caller: f1@x":    http.StatusUnauthorized,
		"DELETE /v1/cluster/members/" + follower.id + " HTTP/1.1":    http.StatusForbidden,
		"POST /v1/cluster/members HTTP/1.1":                          http.StatusForbidden,
		"POST /v1/cluster/members HTTP/1.1\nLaurel-Caller: " + "@":   http.StatusForbidden,
		"POST /v1/cluster/members HTTP/1.1\nLaurel-Caller: f9@noone": http.StatusForbidden,
	} {
		if status, answer := g.sendToMaster(t, follower, head, body); status != want {
			t.Errorf("%q: got %d %s; want %d", head, status, answer, want)
		}
	}
	a := g.must(master, "GET", "/v1/audit", "")
	lines := strings.Count(a.body, "added "+follower.id)
	if lines > 1 || strings.Contains(a.body, "asked "+follower.id) {
		t.Errorf("the trail has %s", a.body)
	}
	if !bytes.Contains([]byte(g.must(master, "GET", "/v1/frontends", "").body), []byte(follower.id)) {
		t.Errorf("%s is gone", follower.id)
	}
}

func TestTheMasterOfASecureGroupCanLeave(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 3)
	g.post(g.frontends[0])
	for _, f := range g.frontends {
		f.holdKey()
	}
	master := g.master()
	stays := g.frontends[0]
	if stays == master {
		stays = g.frontends[1]
	}
	// It is refused while the others do not answer, and its answer is lost if it ends before.
	eventually(t, "the master leaves", func() error {
		a, err := g.ask(master, "DELETE", "/v1/cluster/members/"+master.id+"?force", "")
		if err == nil && a.status == http.StatusOK || master.Ended() {
			return nil
		}
		return fmt.Errorf("got %d %s, %v", a.status, a.body, err)
	})
	if code := master.exit(t); code != 5 {
		t.Errorf("exit code %d; want 5\n%s", code, master.output(t))
	}
	trail := g.must(stays, "GET", "/v1/audit", "").body
	if !strings.Contains(trail, `"by":"operator","what":"asked `+master.id) ||
		!strings.Contains(trail, `"by":"`+master.id+`","what":"asked `+master.id) {
		t.Errorf("the trail has %s", trail)
	}
	g.post(stays)
}
