package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"laurel/cache/queries"
	"laurel/cluster/enroll"
	"laurel/score"
	"laurel/trust/access"
)

// recoveryOf returns a request for an operator, and the operator's token.
func recoveryOf() (access.Recovery, access.BearerToken) {
	token := access.NewBearerToken()
	return access.Recovery{ID: token.ID, Hash: token.Hash()}, token
}

// expectOperator waits until a node knows the token as an operator's.
func expectOperator(t *testing.T, n *node, token access.BearerToken) {
	t.Helper()
	eventually(t, n.opts.ID+" knows the operator", func() error {
		g, err := n.member().Access().Authenticate(token, n.opts.Identity.Now())
		if err == nil && g.Role != access.RoleOperator {
			err = fmt.Errorf("it is %+v", g)
		}
		return err
	})
}

func TestEachVoterCanHaveAnOperatorMadeAndTheTrailNamesIt(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	for _, n := range g.nodes {
		r, token := recoveryOf()
		eventually(t, n.opts.ID+" has an operator made", func() error {
			return n.member().issuer.RecoverOperator(t.Context(), r)
		})
		for _, other := range g.nodes {
			expectOperator(t, other, token)
		}
		_, _, err := g.master().member().Stale(func(v queries.View) error {
			list, _, err := v.Audit(0, 100)
			named := slices.ContainsFunc(list, func(line access.AuditEntry) bool {
				return line.By == n.opts.ID && strings.Contains(line.What, r.ID)
			})
			if !named {
				t.Errorf("no line of the trail is by %s: %+v", n.opts.ID, list)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestOnlyAVoterCanHaveAnOperatorMade(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 2, steady)
	reader := g.addSecure(steady, func(o *Options) { o.Nonvoter = true })
	reader.start()
	g.settle()
	r, _ := recoveryOf()
	g.refusedByMaster(score.Forbidden, func(*Member) error {
		return reader.member().issuer.RecoverOperator(t.Context(), r)
	})
	holders, master := g.holders(), g.master()
	body := fmt.Sprintf(`{"id":%q,"hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`, r.ID)
	for kind, who := range holders {
		conn, err := dialAs(t, master, who)
		if err != nil {
			continue // no certificate
		}
		status, answer := call(t, conn, http.MethodPost, enroll.OperatorPath, body)
		if made := status == http.StatusOK; made != (kind == "voter") {
			t.Errorf("for %s: %d %s", kind, status, answer)
		}
	}
	if grants := master.member().Access().Grants; len(grants) != 1 {
		t.Errorf("the grants are %v", grants)
	}
	// Nor can one who has opened the route and is no voter of the committed configuration.
	asks := httptest.NewRequest(http.MethodPost, enroll.OperatorPath, strings.NewReader(body))
	refused(t, master.member().issuer.ServeOperator(httptest.NewRecorder(), asks), score.Forbidden)
	insecure := newGroup(t, 1)
	refused(t, insecure.nodes[0].member().issuer.RecoverOperator(t.Context(), r), score.StatusConflict)
}

// expectVoters checks who has a vote, as the master knows it.
func (g *group) expectVoters(want int) {
	g.t.Helper()
	if list := voters(g.master().member()); len(list) != want {
		g.t.Errorf("the voters are %v; want %d", list, want)
	}
}

func TestAVoterDoesNotStartAsANonvoter(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			g, _ := kind.make(t, 3)
			g.start()
			n := g.others(g.master())[0]
			n.stop()
			o := n.again()
			o.Nonvoter = true
			m, err := Start(o)
			if !errors.Is(err, ErrHasVote) {
				t.Errorf("it got %v", err)
			}
			if err == nil {
				m.Close()
			}
			n.start() // nothing keeps its directory or its port
			g.settle()
			g.expectVoters(3)
		})
	}
}

func TestAVoteIsNotTakenAwayByJoiningWithoutOne(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			g, _ := kind.make(t, 3)
			g.start()
			for _, n := range g.nodes {
				asks := n.asNew()
				asks.Voter = false
				var err error
				for _, byOperator := range []bool{true, false} {
					eventually(t, "the master answers", func() error {
						err = g.master().member().Join(context.Background(), asks, byOperator)
						if score.CodeOf(err) == score.NoMaster {
							return err
						}
						return nil
					})
					refused(t, err, score.StatusConflict)
				}
			}
			g.expectVoters(3)
		})
	}
}
