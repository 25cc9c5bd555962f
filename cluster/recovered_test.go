package cluster

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// answerAs answers at a peer address as somebody with a certificate of the group, until the test
// or stop ends it.
func answerAs(t *testing.T, who *pki.Identity, addr string, h http.HandlerFunc) (p *peer.Port, stop func()) {
	t.Helper()
	auth := peer.NewAuthenticator(peer.AuthConfig{
		Identity: who, Access: access.NewState, Logger: testLog(t), Witness: newWitness(t),
		Servers: func() []raft.Server { return nil }, Leader: func() raft.ServerID { return "" },
		Refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "refused"}, []string{"reason"}),
	})
	auth.Open()
	p, err := peer.Listen(peer.Config{Address: addr, ServerID: raft.ServerID(who.Member), Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	p.HandleHTTP(h, testLog(t))
	stop = func() { p.Close() }
	t.Cleanup(stop)
	return p, stop
}

// tellSuperseded answers that the group was recovered without the member that asks. It counts the answers.
func tellSuperseded(t *testing.T, who *pki.Identity, addr string) (told *atomic.Int32, stop func()) {
	t.Helper()
	told = new(atomic.Int32)
	_, stop = answerAs(t, who, addr, func(w http.ResponseWriter, _ *http.Request) {
		told.Add(1)
		peer.WriteSuperseded(w, "another")
	})
	return told, stop
}

// A removed voter had the address of one that is away, or has got it: its certificate is good
// for the group's authority, and it may hold the key to make others.
func TestARemovedVoterIsNotBelievedThatTheGroupWasRecovered(t *testing.T) {
	t.Parallel()
	g, _ := attackedGroup(t)
	gone := g.addSecure()
	gone.start()
	g.settle()
	g.holdKeys()
	thief := gone.opts.Identity.Authority(gone.opts.Identity.IssuedBy())
	g.remove(gone.opts.ID, true)
	gone.stop()
	away := g.others(g.master())[0]
	honest := g.others(away)
	for _, n := range honest {
		eventually(t, n.opts.ID+" knows of the removal", func() error {
			if !n.member().Removed(gone.opts.Identity.Member) {
				return fmt.Errorf("it does not")
			}
			return nil
		})
	}
	away.stop()
	another, err := adopt(g.outsider("g1@another"), thief, pki.Voter)
	if err != nil {
		t.Fatal(err)
	}
	for what, who := range map[string]*pki.Identity{"its own certificate": gone.opts.Identity, "one that it has made": another} {
		told, stop := tellSuperseded(t, who, away.opts.Peer)
		eventually(t, "the others hear the lie", func() error {
			if told.Load() < 8 {
				return fmt.Errorf("%d answers", told.Load())
			}
			return nil
		})
		for _, n := range honest {
			checkRuns(t, n)
			if _, err := os.Stat(filepath.Join(n.opts.Dir, removedFile)); err == nil {
				t.Errorf("%s: %s is marked as removed", what, n.opts.ID)
			}
		}
		stop()
	}
	// A voter that was recovered has its id, and another instance.
	recovered, err := adopt(g.outsider(away.opts.ID+"@recovered"), thief, pki.Voter)
	if err != nil {
		t.Fatal(err)
	}
	tellSuperseded(t, recovered, away.opts.Peer)
	for _, n := range honest {
		ended(t, n)
	}
}

// The holder of a join token may be at an address of --join, such as a name in DNS.
func TestAHolderOfAJoinTokenIsNotBelievedThatThereIsAnotherGroup(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 1)
	who := g.enroll(g.outsider("g1@outside"), access.Terms{})
	p, _ := answerAs(t, who, loopback(), func(w http.ResponseWriter, _ *http.Request) {
		json.MarshalWrite(w, &status.Status{Member: raft.ServerID(who.Member), Incarnation: "another"})
	})
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.MarshalWrite(w, score.Frontends{Frontends: []score.Frontend{{ID: "g1", Peer: p.Addr().String()}}})
	}))
	front.TLS = who.PublicConfig(nil, func(string) bool { return false })
	front.StartTLS()
	defer front.Close()
	n := g.nodes[0]
	eventually(t, "the group has a name", func() error {
		if n.member().Incarnation() == "" {
			return fmt.Errorf("it has not")
		}
		return nil
	})
	n.stop()
	var log lockedBuffer
	n.opts.Join, n.opts.Logger = []string{front.URL}, slog.New(slog.NewTextHandler(&log, nil))
	n.start()
	eventually(t, "it says so", func() error {
		if text := log.tail(1 << 20); !strings.Contains(text, "so it is not believed") {
			return fmt.Errorf("it says %s", text)
		}
		return nil
	})
	checkRuns(t, n)
}
