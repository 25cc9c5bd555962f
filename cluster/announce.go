package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/score"
)

const announcePause = 300 * time.Millisecond

// announce asks for a place in the group until this member has it: at its present peer address, and with a vote if it is to have one. A
// refusal that asking again cannot change ends the member.
func (m *Member) announce() {
	me := score.NewMember{ID: m.opts.ID, Peer: m.opts.Peer, URL: m.opts.URL, Voter: !m.opts.Nonvoter, Instance: m.storage.Instance}
	said := ""
	for !m.placed() {
		err := m.askForPlace(me)
		var p *score.Problem
		switch {
		case err == nil:
		case errors.As(err, &p) && (p.Code == score.IDConflict || p.Code == score.InvalidEvent || p.Code == score.Forbidden || p.Code == score.Unauthorized):
			m.end(fmt.Errorf("the group does not take this frontend in: %w", p))
			return
		case err.Error() != said:
			said = err.Error()
			m.log.Info("waiting for the group to take this frontend in", "error", err)
		}
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(m.scaled(announcePause)):
		}
	}
}

// placed tells whether the configuration that this member knows has it as it should be.
func (m *Member) placed() bool {
	return slices.ContainsFunc(m.servers(), func(s raft.Server) bool {
		return s.ID == m.storage.serverID && string(s.Address) == m.opts.Peer && (s.Suffrage == raft.Voter || m.opts.Nonvoter)
	})
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
	var last error = noMaster()
	for _, master := range append(m.neighbour.masters(), known) {
		if master == "" || master == m.opts.Peer {
			continue
		}
		if last = m.callPeer(ctx, master, http.MethodPost, "/v1/cluster/members", bytes.NewReader(body), nil); last == nil {
			return nil
		}
	}
	for _, url := range m.opts.Join {
		if last = postJoin(ctx, url, body); last == nil {
			return nil
		}
	}
	return last
}

func postJoin(ctx context.Context, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(url, "/")+"/v1/cluster/members", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
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
