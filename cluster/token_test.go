package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"laurel/cluster/batch"
	"laurel/cluster/peer"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
)

// tokenGrant returns a token, and a change that allows its holder to post as name in the
// competition OG50BC.
func tokenGrant(name string) (access.BearerToken, access.Change) {
	token := access.NewBearerToken()
	return token, access.Change{By: "getafix", Grant: &access.Grant{
		ID: token.ID, Name: name, Role: access.RoleBard, Hash: token.Hash(), Competitions: []string{"OG50BC"},
	}}
}

// byToken returns alerts of a source that name a token, with a secret.
func byToken(id, secret, source string, first uint64, count int) score.Post {
	p := alerts(source, first, count)
	p.Secret = score.Secret(secret)
	for i := range p.Events {
		p.Events[i].Token = id
	}
	return p
}

// forwardAs sends posts to the master as the member n does that forwards them, in one
// batch, again if no connection was made in time.
func forwardAs(t *testing.T, n, master *node, posts ...score.Post) (outcomes []batch.Outcome) {
	t.Helper()
	var list []*batch.Post
	for _, p := range posts {
		encoded, err := entry.EncodePost(p)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, batch.NewPost(encoded, p.Secret))
	}
	err := callMaster(t, n, master, list, &outcomes)
	if err != nil || len(outcomes) != len(posts) {
		t.Fatalf("got %v, %v", outcomes, err)
	}
	return outcomes
}

// callMaster forwards one batch, again if no connection was made in time: the master has heard
// nothing then.
func callMaster(t *testing.T, n, master *node, list []*batch.Post, outcomes *[]batch.Outcome) (err error) {
	t.Helper()
	eventually(t, "there is a connection to the master", func() error {
		err = n.member().port.Call(t.Context(), master.member().Peer(), http.MethodPost, postsPath,
			bytes.NewReader(batch.Encode(list)), outcomes)
		if peer.DialFailed(err) {
			return err
		}
		return nil
	})
	return err
}

func TestAMemberForwardsNothingInTheNameOfATokenThatItDoesNotHave(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3, steady)
	master := g.master()
	liar := g.others(master)[0]
	token, grant := tokenGrant("bard/a")
	own, ownGrant := tokenGrant("bard/liar")
	revoked, revokedGrant := tokenGrant("bard/a")
	expired, expiredGrant := tokenGrant("bard/a")
	expiredGrant.Grant.Expires = time.Now().Add(-time.Hour)
	key := grantTo(1, "bard/a")
	mustChangeAccess(t, g.group, grant, ownGrant, revokedGrant, expiredGrant, key,
		access.Change{By: "getafix", Revoke: revoked.ID})
	last := master.member().raft.LastIndex()
	forged := []score.Post{
		byToken(token.ID, "", "bard/a", 1, 1),
		byToken(token.ID, token.Secret[1:]+"A", "bard/a", 1, 1),
		byToken(token.ID, own.Secret, "bard/a", 1, 1),
		byToken(revoked.ID, revoked.Secret, "bard/a", 1, 1),
		byToken(expired.ID, expired.Secret, "bard/a", 1, 1),
		byToken(key.Grant.ID, "", "bard/a", 1, 1),
		byToken(access.NewBearerToken().ID, own.Secret, "bard/a", 1, 1),
	}
	for i, o := range forwardAs(t, liar, master, forged...) {
		if o.Problem == nil || o.Problem.Code != score.Unauthorized {
			t.Errorf("post %d: got %+v", i, o)
		}
	}
	if now := master.member().raft.LastIndex(); now != last {
		t.Errorf("the log went from %d to %d", last, now)
	}
	for reason, want := range map[string]float64{"unknown": 5, "revoked": 1, "expired": 1} {
		if n := metric(t, master, "laurel_forwarded_tokens_refused_total", reason); n != want {
			t.Errorf("%v refusals are counted as %s; want %v", n, reason, want)
		}
	}
	// A signed event that names a token, too, needs the token.
	signed := signedBy(t, master, 1, "bard/a", 1, 1)
	signed.Events[0].Token = token.ID
	if o := forwardAs(t, liar, master, signed)[0]; o.Problem == nil || o.Problem.Code != score.Unauthorized {
		t.Errorf("signed: got %+v", o)
	}
	// What stands beside a forged post in its batch is applied.
	all := forwardAs(t, liar, master, byToken(own.ID, own.Secret, "bard/liar", 1, 1),
		byToken(token.ID, "", "bard/a", 1, 1), byToken(own.ID, own.Secret, "bard/liar", 2, 1))
	if all[0].Problem != nil || all[0].Results[0].Problem != nil || all[2].Problem != nil ||
		all[2].Results[0].Problem != nil {
		t.Errorf("got %+v", all)
	}
	// A token that passes through the member permits what its grant permits.
	outside := byToken(token.ID, token.Secret, "bard/a", 1, 1)
	outside.Events[0].ContestID = "XX/rain"
	for what, p := range map[string]score.Post{
		"another source": byToken(token.ID, token.Secret, "bard/b", 1, 1), "another competition": outside,
	} {
		if o := forwardAs(t, liar, master, p)[0]; o.Problem != nil || o.Results[0].Problem == nil ||
			o.Results[0].Problem.Code != score.Forbidden {
			t.Errorf("%s: got %+v", what, o)
		}
	}
	g.agree(2)
}

func TestEventsByTokenAreAppliedFromEveryMemberUntilTheTokenIsRevoked(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	token, grant := tokenGrant("bard/a")
	mustChangeAccess(t, g.group, grant)
	for i, n := range g.nodes {
		mustPost(t, n, byToken(token.ID, token.Secret, "bard/a", uint64(i)+1, 1))
	}
	// The next master knows the token, too.
	master := g.master()
	master.stop()
	mustPost(t, g.others(master)[0], byToken(token.ID, token.Secret, "bard/a", 4, 1))
	mustPost(t, g.others(master)[1], byToken(token.ID, token.Secret, "bard/a", 5, 1))
	master.start()
	g.settle()
	g.agree(5)
	mustChangeAccess(t, g.group, access.Change{By: "getafix", Revoke: token.ID})
	for _, n := range g.others(g.master()) {
		p := byToken(token.ID, token.Secret, "bard/a", 6, 1)
		eventually(t, "it is refused", func() error {
			_, err := n.member().Post(context.Background(), p)
			if score.CodeOf(err) != score.Unauthorized {
				return errors.Join(errors.New("want unauthorized, got"), err)
			}
			return nil
		})
	}
	g.agree(5)
}

// Its state may lack a grant that an earlier master has committed.
func TestMemberThatIsNotYetTheMasterDecidesAboutNoToken(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2, steady)
	token, _ := tokenGrant("bard/a")
	encoded, err := entry.EncodePost(byToken(token.ID, token.Secret, "bard/a", 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	post := batch.NewPost(encoded, score.Secret(token.Secret))
	for n, code := range map[*node]score.Code{
		g.others(g.master())[0]: score.NoMaster, g.master(): score.Unauthorized,
	} {
		c := tokenCheck{n.member().poster, "", map[access.BearerToken]*score.Problem{}}
		if p := c.check(post); p == nil || p.Code != code {
			t.Errorf("%s: got %v, want %s", n.opts.ID, p, code)
		}
	}
}

func TestNoChangeInTheLogHasTheTextOfAToken(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, guardedGroup)
	m := g.master().member()
	token, _ := tokenGrant("bard/a")
	join := "laurel-join-1.0f." + token.ID + "." + token.Secret
	last := m.raft.LastIndex()
	for _, text := range []string{token.Text(), join} {
		_, named := tokenGrant(text)
		for _, c := range []access.Change{
			{By: "getafix", Revoke: text}, {By: "getafix", Note: "added " + text}, {By: text, Guard: true}, named,
			{By: "getafix", Setting: &access.Setting{Name: access.SettingPrivate, Value: text}},
			{By: "getafix", Setting: &access.Setting{Name: text, Value: "true"}},
		} {
			p := refused(t, m.ChangeAccess(t.Context(), c), score.InvalidEvent)
			if strings.Contains(p.Detail, token.Secret[:3]) {
				t.Errorf("the problem is %s", p.Detail)
			}
		}
	}
	if now := m.raft.LastIndex(); now != last {
		t.Errorf("the log went from %d to %d", last, now)
	}
}

func TestAMemberCannotExhaustTheMasterByPostsThatItForwards(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3, steady)
	master := g.master()
	flooder, other := g.others(master)[0], g.others(master)[1]
	token, grant := tokenGrant("bard/a")
	mustChangeAccess(t, g.group, grant)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ended sync.WaitGroup
	var bodies []*io.PipeWriter
	for range maxForwarding {
		eventually(t, "a body is sent", func() error { // without a connection it is closed
			body, hold := io.Pipe() // it does not end
			ended.Go(func() {
				_ = flooder.member().port.Call(ctx, master.member().Peer(), http.MethodPost, postsPath, body, nil)
			})
			_, err := hold.Write(make([]byte, 64))
			if err == nil {
				bodies = append(bodies, hold)
			}
			return err
		})
	}
	// A request that the master refused would wait for the end of its own body.
	eventually(t, "the master reads all the bodies", func() error {
		p := master.member().poster
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := p.forwarding[string(flooder.member().self)]; n < maxForwarding {
			return fmt.Errorf("it reads %d of %v", n, p.forwarding)
		}
		return nil
	})
	post := func(n *node, seq uint64) error {
		p := byToken(token.ID, token.Secret, "bard/a", seq, 1)
		encoded, err := entry.EncodePost(p)
		if err != nil {
			t.Fatal(err)
		}
		var outcomes []batch.Outcome
		return callMaster(t, n, master, []*batch.Post{batch.NewPost(encoded, p.Secret)}, &outcomes)
	}
	eventually(t, "the flooder is refused", func() error {
		if err := post(flooder, 1); score.CodeOf(err) != score.RateLimited {
			return fmt.Errorf("want rate_limited, got %v", err)
		}
		return nil
	})
	if err := post(other, 2); err != nil {
		t.Errorf("another member: %v", err)
	}
	cancel()
	for _, b := range bodies {
		b.CloseWithError(io.ErrUnexpectedEOF)
	}
	ended.Wait()
	eventually(t, "the flooder has ended its requests", func() error { return post(flooder, 3) })
}
