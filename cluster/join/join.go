// Package join makes a frontend a member of the group, and keeps it what it should be
// there: it asks the master. Start reading at Loop.Run.
package join

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/internal/address"
	"laurel/score"
	"laurel/trust/pki"
)

const (
	joinPause    = 300 * time.Millisecond
	refusedPause = 5 * time.Second // after a final refusal
	// maxAnswer bounds the answer to a join over the HTTP interface, in bytes.
	maxAnswer = 1 << 20
	// maxFound bounds the members of which one frontend is believed to know the addresses.
	maxFound = 64

	// Timeout bounds a whole join, at a time scale of 1: a new voter first catches up
	// without a vote, so that it never delays a majority.
	Timeout = time.Minute
	// MembersPath is where the HTTP interface of the master adds members.
	MembersPath = "/v1/cluster/members"
)

// Loop asks to join whenever this member is not in the group as it should be: at its peer
// address, and with a vote if it is to have one. A change of the master may undo what was
// not committed, so the loop never ends. A final refusal ends a member that has never been
// in the group. A member that was in the group does not believe one answer; see
// status.RemovalCheck.
type Loop struct {
	Places []address.Place // where members of the group to join are
	Voter  bool            // whether this member is to have a vote
	// Replace has it take the place of a dead member with its id.
	Replace bool
	Source  *status.Source // of this member
	Poller  *status.Poller
	Leader  *status.LeaderWatch
	Leads   func() bool                                                         // whether this member is the master
	Add     func(ctx context.Context, n score.NewMember, byOperator bool) error // adds a member, at the master
	End     func(error)                                                         // ends the member
	Scale   func(time.Duration) time.Duration
	Logger  *slog.Logger

	lastErr string // that was logged
}

// Run asks to join until ctx ends.
func (j *Loop) Run(ctx context.Context) {
	var checking sync.WaitGroup
	defer checking.Wait()
	if j.Source.Store.Existing && len(j.Places) > 0 {
		checking.Go(func() { j.checkGroup(ctx) })
	}
	self := score.NewMember{
		ID: peer.MemberID(j.Source.Self), Peer: j.Source.Peer, URL: j.Source.URL, Voter: j.Voter,
		Instance: j.Source.Store.Instance(), Replace: j.Replace,
	}
	for {
		pause := joinPause
		if !j.joined() {
			err := j.join(ctx, self)
			switch {
			case err == nil:
				j.Poller.PollNow()
			case isFinal(err) && !j.Source.Store.Joined():
				j.End(fmt.Errorf("the group refused this frontend: %w", err))
				return
			case isFinal(err):
				j.Poller.PollNow() // if it was removed, the voters report it
				pause = refusedPause
				j.logOnce(j.Logger.Warn, "the group refuses this frontend, which was a member; retrying", err)
			default:
				j.logOnce(j.Logger.Info, "waiting to be added to the group", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(j.Scale(pause)):
		}
	}
}

// logOnce logs an error unless it was the last that was logged.
func (j *Loop) logOnce(log func(string, ...any), msg string, err error) {
	if text := err.Error(); text != j.lastErr {
		j.lastErr = text
		log(msg, "err", err)
	}
}

// isFinal reports whether the group has refused, and would refuse again.
func isFinal(err error) bool {
	switch score.CodeOf(err) {
	case score.IDConflict, score.InvalidEvent, score.Forbidden, score.Unauthorized, score.UnsupportedFormat:
		return true
	}
	return false
}

// joined reports whether this member is in the group as it should be: in what a master
// last reported or, while none has reported, in the configuration that this member knows
// itself.
func (j *Loop) joined() bool {
	has := j.Poller.Reports.Place()
	if has == nil || j.Leads() {
		if s, in := peer.Find(peer.Servers(j.Source.Raft), j.Source.Self); in {
			has = status.PlaceOf(s)
		}
	}
	return has != nil && has.Peer == j.Source.Peer && (has.Voter || !j.Voter) && j.certified(has)
}

// certified reports whether this member's certificate names its role in the group. It
// does not after the member has used a join token because its certificate had expired.
func (j *Loop) certified(has *status.Place) bool {
	if j.Source.Identity == nil {
		return true
	}
	role := j.Source.Identity.Holder().Role
	return role == pki.Voter || role == pki.Nonvoter && !has.Voter
}

// join asks the master to add this member, at the addresses where it may be, and then at
// those of Places. A member that moved cannot be reached by the master, but can
// reach the others.
func (j *Loop) join(ctx context.Context, self score.NewMember) error {
	ctx, cancel := context.WithTimeout(ctx, j.Scale(Timeout))
	defer cancel()
	if j.Leads() {
		return j.Add(ctx, self, false)
	}
	body, err := json.Marshal(self)
	if err != nil {
		return err
	}
	known, _ := j.Leader.Current()
	last := error(peer.NoMaster())
	for _, master := range append(j.Poller.Reports.Masters(), known) {
		if master == "" || master == j.Source.Peer {
			continue
		}
		last = j.Poller.Port.Call(ctx, master, http.MethodPost, MembersPath, bytes.NewReader(body), nil)
		if last == nil || isFinal(last) {
			return last
		}
	}
	urls, err := address.URLs(ctx, net.DefaultResolver, j.Places)
	if err != nil {
		last = err
	}
	for _, url := range urls {
		if last = j.joinAt(ctx, url, body); last == nil || isFinal(last) {
			return last
		}
	}
	j.find(ctx, urls)
	return last
}

// find asks the frontends at urls for the peer addresses that they know, and who is there.
// Members that have all moved have no master, and know no address of each other.
func (j *Loop) find(ctx context.Context, urls []string) {
	ctx, cancel := context.WithTimeout(ctx, j.Poller.Timeout)
	defer cancel()
	var asking sync.WaitGroup
	for _, url := range urls {
		asking.Go(func() {
			group, err := j.groupAt(ctx, url)
			if err != nil {
				return
			}
			for _, f := range group.Frontends[:min(len(group.Frontends), maxFound)] {
				if f.Peer != j.Source.Peer {
					asking.Go(func() { j.Poller.Meet(ctx, f.Peer) })
				}
			}
		})
	}
	asking.Wait()
}

// groupAt returns the group as the frontend at url sees it.
func (j *Loop) groupAt(ctx context.Context, url string) (group score.Frontends, err error) {
	resp, err := j.request(ctx, http.MethodGet, url, "/v1/frontends", nil)
	if err != nil {
		return group, err
	}
	defer resp.Body.Close()
	return group, json.UnmarshalRead(io.LimitReader(resp.Body, maxAnswer), &group)
}

// joinAt asks to join over the HTTP interface of a member.
func (j *Loop) joinAt(ctx context.Context, url string, body []byte) error {
	resp, err := j.request(ctx, http.MethodPost, url, MembersPath, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	p := new(score.Problem)
	if err := json.UnmarshalRead(io.LimitReader(resp.Body, maxAnswer), p); err != nil || p.Code == "" {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return p
}

// request sends a request over the HTTP interface of a member.
func (j *Loop) request(ctx context.Context, method, url, path string, body []byte) (*http.Response, error) {
	client := http.DefaultClient
	if i := j.Source.Identity; i != nil {
		// The member's own certificate authorizes it, and is sent to no server without
		// one.
		transport := &http.Transport{TLSClientConfig: i.PeerClientConfig("")}
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}
		if rest, plain := strings.CutPrefix(url, "http://"); plain {
			url = "https://" + rest // a member of a secure group serves HTTPS at that address
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(url, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Close = true // it is the only request
	return client.Do(req)
}

// GroupError is the error of a frontend that is to join another group than the one whose
// data it has.
type GroupError struct {
	Dir, URL   string // the data directory, and the address to join
	Has, Found string // the incarnations of the stores
}

func (e *GroupError) Error() string {
	return fmt.Sprintf("%s belongs to the group %s, but %s has the data of the group %s: "+
		"to join the other group, start with an empty directory; to stay in this one, correct the addresses to join",
		e.URL, e.Found, e.Dir, e.Has)
}

// checkGroup asks once, at the addresses of Places, for the group there. It ends a member that
// has the data of another one, which would do nothing with these addresses. Where members
// authenticate each other, those of another group cannot prove what they say, and who has
// joined or may join may lie, so that is only logged. And if another group answers in the place
// of a member, that member has lost its data; those who have theirs must go on.
func (j *Loop) checkGroup(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, j.Poller.Timeout)
	defer cancel()
	urls, err := address.URLs(ctx, net.DefaultResolver, j.Places)
	if err != nil {
		j.Logger.Warn("some of the addresses to join are not known", "err", err)
	}
	for _, url := range urls {
		by, at, err := j.storeAt(ctx, url)
		found, own := by.Incarnation, j.Source.Machine.Incarnation()
		switch _, refused := errors.AsType[*pki.CertificateError](err); {
		case refused:
			j.Logger.Error("an address to join shows no certificate of this frontend's group; is it another group's?",
				"url", url, "err", err)
		case found == "" || own == "" || found == own || j.isMember(at):
		case !j.Poller.Believes(by):
			j.Logger.Error("a frontend at an address to join says that it is of another group; "+
				"it is no voter of this one, so it is not believed",
				"url", url, "member", by.Member, "found", found, "want", own)
		default:
			j.End(&GroupError{j.Source.Store.Dir(), url, own, found})
		}
	}
}

// isMember reports whether the group has another member at a peer address.
func (j *Loop) isMember(addr string) bool {
	return slices.ContainsFunc(peer.Servers(j.Source.Raft), func(s raft.Server) bool {
		return s.ID != j.Source.Self && string(s.Address) == addr
	})
}

// storeAt returns the status of a member of the group that has a frontend at url, which
// reports the incarnation of the store, and its peer address; both empty if none does.
func (j *Loop) storeAt(ctx context.Context, url string) (by status.Status, at string, err error) {
	group, err := j.groupAt(ctx, url)
	if err != nil {
		return by, "", err
	}
	for _, f := range group.Frontends {
		s, err := j.Poller.Ask(ctx, f.Peer)
		j.Poller.Heed(f.Peer, s, err)
		if err == nil && s.Incarnation != "" || ctx.Err() != nil {
			return s, f.Peer, err
		}
	}
	return by, "", nil
}
