package localgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// Frontend is a frontend of a group.
type Frontend struct {
	ID   string `json:"id"`   // f1, f2 ...
	HTTP string `json:"http"` // host:port
	Peer string `json:"peer"` // host:port

	Dir   string `json:"-"` // of its data
	Log   string `json:"-"` // file
	PID   int    `json:"-"` // of the current or last process; 0 if there is none
	State State  `json:"-"`
}

// State is what Start found or did.
type State uint8

const (
	Down    State = iota
	Running       // it ran before
	Started
	Removed // from the group, by somebody; it does not run
)

// URL returns the address for clients.
func (f Frontend) URL() string { return "http://" + f.HTTP }

// Args returns the arguments of the laurel program that run the frontend, followed by
// more.
func (f Frontend) Args(more ...string) []string {
	args := []string{"frontend", "--id", f.ID, "--data", f.Dir, "--http", f.HTTP, "--peer", f.Peer}
	return append(args, more...)
}

// Ready returns nil if the frontend with an id answers at url and has its vote. A
// frontend that has just joined answers before it has a vote; until then the group does
// not survive the death of another one.
func Ready(ctx context.Context, url, id string) error {
	if _, err := get(ctx, url+"/readyz"); err != nil {
		return err
	}
	b, err := get(ctx, url+"/v1/frontends")
	if err != nil {
		return err
	}
	var list score.Frontends
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	if !slices.ContainsFunc(list.Frontends, func(m score.Frontend) bool { return m.ID == id && m.Voter }) {
		return errors.New("it has no vote yet")
	}
	return nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}
