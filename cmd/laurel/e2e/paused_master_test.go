package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/score/mark"
)

// TestAPausedMasterShowsNoStaleScore pauses a master as a suspended machine does. When it
// continues, it still believes to be the master, and requests have waited for it that
// were sent after the others had acknowledged newer events.
func TestAPausedMasterShowsNoStaleScore(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	apply(t, g.frontends[0], define)
	apply(t, g.frontends[0], running)
	plays := int64(0)
	for round := range 5 {
		old := g.master()
		old.signal(t, syscall.SIGSTOP)
		var others []*frontend
		for _, f := range g.frontends {
			if f != old {
				others = append(others, f)
			}
		}
		event := play(fmt.Sprintf("meanwhile-%d", round), 1)
		// The others elect a master first. With an id, the play can be posted until it is
		// acknowledged.
		eventually(t, "the others take a play", func() error {
			a, err := ask("POST", others[0].url+"/v1/events", event, "Content-Type", "application/json")
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("%d %s", a.status, a.body)
			}
			return err
		})
		plays++
		const questions = 64
		var asked sync.WaitGroup
		sent := make(chan struct{}, questions)
		wrong := make(chan error, questions)
		for range questions {
			asked.Go(func() { wrong <- askStopped(old, sent, plays) })
		}
		for range questions {
			<-sent
		}
		old.signal(t, syscall.SIGCONT)
		asked.Wait()
		close(wrong)
		var all []error
		for err := range wrong {
			all = append(all, err)
		}
		if err := errors.Join(all...); err != nil {
			t.Fatalf("%s, stopped and continued: %v", old.id, err)
		}
		old.waitReady()
		g.expectRevision(uint64(3 + round))
		g.expectGaul(plays)
	}
}

// askStopped reads Gaul's score from a paused frontend. It sends to sent when the request
// waits in the socket. No answer is no error.
func askStopped(f *frontend, sent chan<- struct{}, want int64) error {
	c, err := net.Dial("tcp", f.http)
	if err == nil {
		defer c.Close()
		_, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", contest, f.http)
	}
	sent <- struct{}{}
	if err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return unlessClosed(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode == http.StatusServiceUnavailable {
		return unlessClosed(err)
	}
	var r score.Record
	if err := json.Unmarshal(body, &r); err != nil {
		return fmt.Errorf("%s %s: %w", res.Status, body, err)
	}
	if len(r.Competitors) == 0 || *r.Competitors[0].Result != mark.Points(want) {
		return fmt.Errorf("an old score is shown (Laurel-Cache %s); want %d: %s", res.Header.Get("Laurel-Cache"), want,
			body)
	}
	return nil
}

// unlessClosed returns nil for the error of a connection that the frontend has closed: on a busy
// machine it may not come to read a request in the time that it allows for one.
func unlessClosed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}
