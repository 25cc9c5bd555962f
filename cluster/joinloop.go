package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/score"
	"laurel/trust/pki"
)

const (
	joinPause    = 300 * time.Millisecond
	refusedPause = 5 * time.Second // after a final refusal
	// maxJoinAnswer bounds the answer to a join over the HTTP interface, in bytes.
	maxJoinAnswer = 1 << 20
)

// joinLoop asks to join whenever this member is not in the group as it should be: at its
// peer address, and with a vote if it is to have one. A change of the master may undo
// what was not committed, so the loop never ends. A final refusal ends a member that has
// never been in the group. A member that was in the group does not believe one answer;
// see status.RemovalCheck.
type joinLoop struct {
	*replica
	membership *membership
	poller     *status.Poller
	lastErr    string // that was logged
}

func (j *joinLoop) run() {
	if j.storage.Existing && len(j.opts.Join) > 0 {
		j.replica.run(j.checkGroup)
	}
	self := score.NewMember{
		ID: j.opts.ID, Peer: j.opts.Peer, URL: j.opts.URL, Voter: !j.opts.Nonvoter, Instance: j.storage.Instance(),
	}
	for {
		pause := joinPause
		if !j.joined() {
			err := j.join(self)
			switch {
			case err == nil:
				j.poller.PollNow()
			case isFinal(err) && !j.storage.Joined():
				j.end(fmt.Errorf("the group refused this frontend: %w", err))
				return
			case isFinal(err):
				j.poller.PollNow() // if it was removed, the voters report it
				pause = refusedPause
				j.logOnce(j.log.Warn, "the group refuses this frontend, which was a member; retrying", err)
			default:
				j.logOnce(j.log.Info, "waiting to be added to the group", err)
			}
		}
		select {
		case <-j.ctx.Done():
			return
		case <-time.After(j.scaled(pause)):
		}
	}
}

// logOnce logs an error unless it was the last that was logged.
func (j *joinLoop) logOnce(log func(string, ...any), msg string, err error) {
	if text := err.Error(); text != j.lastErr {
		j.lastErr = text
		log(msg, "err", err)
	}
}

// isFinal reports whether the group has refused, and would refuse again.
func isFinal(err error) bool {
	switch score.CodeOf(err) {
	case score.IDConflict, score.InvalidEvent, score.Forbidden, score.Unauthorized:
		return true
	}
	return false
}

// joined reports whether this member is in the group as it should be: in what a master
// last reported or, while none has reported, in the configuration that this member knows
// itself.
func (j *joinLoop) joined() bool {
	has := j.poller.Reports.Place()
	if has == nil || j.leadership() != nil {
		if s, in := peer.Find(j.servers(), j.self); in {
			has = status.PlaceOf(s)
		}
	}
	return has != nil && has.Peer == j.opts.Peer && (has.Voter || j.opts.Nonvoter) && j.certified(has)
}

// certified reports whether this member's certificate says what it is in the group. It
// does not after the member has used a join token because its certificate had expired.
func (j *joinLoop) certified(has *status.Place) bool {
	if j.opts.Identity == nil {
		return true
	}
	role := j.opts.Identity.Holder().Role
	return role == pki.Voter || role == pki.Nonvoter && !has.Voter
}

// join asks the master to add this member, at the addresses where it may be, and then the
// members of Options.Join. A member that moved cannot be reached by the master, but can
// reach the others.
func (j *joinLoop) join(self score.NewMember) error {
	ctx, cancel := context.WithTimeout(j.ctx, j.scaled(joinTimeout))
	defer cancel()
	if j.leadership() != nil {
		return j.membership.Join(ctx, self, false)
	}
	body, err := json.Marshal(self)
	if err != nil {
		return err
	}
	known, _ := j.leader.Current()
	last := error(peer.NoMaster())
	for _, master := range append(j.poller.Reports.Masters(), known) {
		if master == "" || master == j.opts.Peer {
			continue
		}
		last = j.port.Call(ctx, master, http.MethodPost, membersPath, bytes.NewReader(body), nil)
		if last == nil || isFinal(last) {
			return last
		}
	}
	for _, url := range j.opts.Join {
		if last = j.joinAt(ctx, url, body); last == nil || isFinal(last) {
			return last
		}
	}
	return last
}

// joinAt asks to join over the HTTP interface of a member.
func (j *joinLoop) joinAt(ctx context.Context, url string, body []byte) error {
	resp, err := j.request(ctx, http.MethodPost, url, membersPath, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	p := new(score.Problem)
	if err := json.UnmarshalRead(io.LimitReader(resp.Body, maxJoinAnswer), p); err != nil || p.Code == "" {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return p
}

// request sends a request over the HTTP interface of a member.
func (j *joinLoop) request(ctx context.Context, method, url, path string, body []byte) (*http.Response, error) {
	client := http.DefaultClient
	if i := j.opts.Identity; i != nil {
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
	Dir, URL   string // the data directory, and the address in Options.Join
	Has, Found string // the incarnations of the stores
}

func (e *GroupError) Error() string {
	return fmt.Sprintf("%s belongs to the group %s, but %s has the data of the group %s: "+
		"to join the other group, start with an empty directory; to stay in this one, correct the addresses to join",
		e.URL, e.Found, e.Dir, e.Has)
}

// checkGroup asks once, at the addresses of Options.Join, for the group there. It ends a
// member that has the data of another one, which would do nothing with these addresses.
// Where members authenticate each other, those of another group cannot prove what they
// say, so that is only logged.
func (j *joinLoop) checkGroup() {
	ctx, cancel := context.WithTimeout(j.ctx, j.scaled(forwardTimeout))
	defer cancel()
	for _, url := range j.opts.Join {
		found, err := j.storeAt(ctx, url)
		own := j.machine.Incarnation()
		switch _, refused := errors.AsType[*pki.CertificateError](err); {
		case refused:
			j.log.Error("an address to join shows no certificate of this frontend's group; is it another group's?",
				"url", url, "err", err)
		case found != "" && own != "" && found != own:
			j.end(&GroupError{j.opts.Dir, url, own, found})
		}
	}
}

// storeAt returns the incarnation of the store of the group that has a frontend at url; "" if
// none of its members reports it.
func (j *joinLoop) storeAt(ctx context.Context, url string) (string, error) {
	resp, err := j.request(ctx, http.MethodGet, url, "/v1/frontends", nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var group score.Frontends
	if err := json.UnmarshalRead(io.LimitReader(resp.Body, maxJoinAnswer), &group); err != nil {
		return "", err
	}
	for _, f := range group.Frontends {
		s, err := j.poller.Ask(ctx, f.Peer)
		if err == nil && s.Incarnation != "" || ctx.Err() != nil {
			return s.Incarnation, err
		}
	}
	return "", nil
}
