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
	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/score"
)

const (
	announcePause = 300 * time.Millisecond
	refusedPause  = 5 * time.Second // after a refusal for good
)

// announce asks for a place in the group whenever this member does not have it: at its present peer address, and with a vote if it is to
// have one. A change of the master may undo what was not committed yet, so it never ends. A refusal that asking again cannot change ends
// a member that has never been in the group. One that has does not believe that of any one answer; see learnRemoval.
func (m *Member) announce() {
	me := score.NewMember{ID: m.opts.ID, Peer: m.opts.Peer, URL: m.opts.URL, Voter: !m.opts.Nonvoter, Instance: m.storage.Instance()}
	said := ""
	for {
		pause := announcePause
		if !m.placed() {
			err := m.askForPlace(me)
			switch {
			case err == nil:
				m.neighbour.askNow()
			case final(err) && !m.storage.Joined():
				m.end(fmt.Errorf("the group does not take this frontend in: %w", err))
				return
			case final(err):
				m.neighbour.askNow() // if it was removed, the voters say so
				pause = refusedPause
				if err.Error() != said {
					said = err.Error()
					m.log.Warn("the group does not take this frontend in, which was a member of it; it goes on asking", "error", err)
				}
			case err.Error() != said:
				said = err.Error()
				m.log.Info("waiting for the group to take this frontend in", "error", err)
			}
		}
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(m.scaled(pause)):
		}
	}
}

// final tells that the group has refused, and would again.
func final(err error) bool {
	var p *score.Problem
	return errors.As(err, &p) && (p.Code == score.IDConflict || p.Code == score.InvalidEvent || p.Code == score.Forbidden || p.Code == score.Unauthorized)
}

// placed tells whether this member has the place that it should have: in what a master last said, or, while none has said anything, in
// the configuration that it knows itself.
func (m *Member) placed() bool {
	want := place{Peer: m.opts.Peer, Voter: !m.opts.Nonvoter}
	has := m.neighbour.ownPlace()
	if has == nil || m.leads() != nil {
		for _, s := range m.servers() {
			if s.ID == m.self {
				has = &place{Peer: string(s.Address), Voter: s.Suffrage == raft.Voter}
			}
		}
	}
	return has != nil && has.Peer == want.Peer && (has.Voter || !want.Voter)
}

// askForPlace asks the master, or whoever may know it. A member that moved cannot be reached by the master, but can reach the others.
func (m *Member) askForPlace(me score.NewMember) error {
	ctx, cancel := context.WithTimeout(m.ctx, m.scaled(joinLimit))
	defer cancel()
	if m.leads() != nil {
		return m.Join(ctx, me)
	}
	body, err := json.Marshal(me)
	if err != nil {
		return err
	}
	known, _ := m.masters.now()
	last := error(peer.NoMaster())
	for _, master := range append(m.neighbour.masters(), known) {
		if master == "" || master == m.opts.Peer {
			continue
		}
		if last = m.port.Call(ctx, master, http.MethodPost, "/v1/cluster/members", bytes.NewReader(body), nil); last == nil || final(last) {
			return last
		}
	}
	for _, url := range m.opts.Join {
		if last = m.postJoin(ctx, url, body); last == nil || final(last) {
			return last
		}
	}
	return last
}

func (m *Member) postJoin(ctx context.Context, url string, body []byte) error {
	caller := http.DefaultClient
	if i := m.opts.Identity; i != nil {
		// Its own certificate is what lets it in, and it says nothing to one who has none.
		transport := &http.Transport{TLSClientConfig: i.PeerClientConfig("")}
		defer transport.CloseIdleConnections()
		caller = &http.Client{Transport: transport}
		if rest, plain := strings.CutPrefix(url, "http://"); plain {
			url = "https://" + rest // the port speaks it, whatever is published
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(url, "/")+"/v1/cluster/members", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = true // it is the only request there
	resp, err := caller.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	p := new(score.Problem)
	if err := json.UnmarshalRead(io.LimitReader(resp.Body, 1<<20), p); err != nil || p.Code == "" {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return p
}
