package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"laurel/client"
	"laurel/score"
)

// changes are changes of each kind.
func changes(c *client.Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"leave":    func(ctx context.Context) error { return second(c.Leave(ctx, "f3", false)) },
		"revoke":   func(ctx context.Context) error { return c.Revoke(ctx, "1f0c") },
		"setting":  func(ctx context.Context) error { return c.ChangeSetting(ctx, "private", "true") },
		"transfer": func(ctx context.Context) error { return c.Transfer(ctx, "f2") },
		"rotation": func(ctx context.Context) error { return c.RotateAuthority(ctx) },
		"post":     func(ctx context.Context) error { return second(c.Post(ctx, []score.Event{alert("hail")})) },
	}
}

// A redirect with one of these statuses makes a GET of a POST, and a GET of some paths
// succeeds without a change.
func TestAChangeThatIsRedirectedAsAReadHasNotSucceeded(t *testing.T) {
	var gets atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch status := http.StatusFound; {
		case r.Method == http.MethodGet:
			gets.Add(1)
			fmt.Fprint(w, "{}")
		case strings.HasPrefix(r.URL.Path, "/v1/cluster/members"):
			w.WriteHeader(http.StatusNotModified) // no redirect, and no success
		default:
			if r.URL.Path == "/v1/cluster/authority" {
				status = http.StatusMovedPermanently
			}
			http.Redirect(w, r, "/elsewhere"+r.URL.Path, status)
		}
	}))
	defer s.Close()
	// A list that comes late would be asked for again.
	c := newClient(t, withPatience(client.Options{Refresh: time.Hour}), s.URL)
	for what, change := range changes(c) {
		err := change(t.Context())
		if code := score.CodeOf(err); !strings.HasPrefix(string(code), "http_3") {
			t.Errorf("%s: got %v; want a problem with the status of the redirect", what, err)
		}
		if what == "rotation" && !strings.Contains(fmt.Sprint(err), "/elsewhere/v1/cluster/authority") {
			t.Errorf("%s: got %v; want it to say where it was redirected", what, err)
		}
	}
	c.WaitForRefresh()
	if n := gets.Load(); n > 1 { // one is for the list of frontends
		t.Errorf("%d reads were made in place of changes", n-1)
	}
	// A read is redirected as everywhere.
	if _, err := c.Score(t.Context(), contest); err != nil {
		t.Error(err)
	}
	moved := httptest.NewServer(http.RedirectHandler(s.URL+"/elsewhere", http.StatusFound))
	defer moved.Close()
	if _, err := newClient(t, client.Options{}, moved.URL).Score(t.Context(), contest); err != nil {
		t.Errorf("a redirected read: %v", err)
	}
}

func TestAChangeWhoseCallerLeavesMayHaveBeenApplied(t *testing.T) {
	why := errors.New("the caller has left")
	for during, status := range map[string]int{"the attempt": 0, "the pause after it": http.StatusInternalServerError} {
		synctest.Test(t, func(t *testing.T) {
			c, err := newTransportClient(func(r *http.Request) (int, io.ReadCloser, error) {
				if status == 0 {
					<-r.Context().Done()
					return 0, nil, r.Context().Err()
				}
				return status, nil, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for what, change := range changes(c) {
				if what == "rotation" && status != 0 {
					continue // it is not tried again, so there is no pause
				}
				ctx, leave := context.WithCancelCause(t.Context())
				time.AfterFunc(20*time.Millisecond, func() { leave(why) })
				if err := change(ctx); !errors.Is(err, why) || score.CodeOf(err) != score.OutcomeUnknown {
					t.Errorf("%s, during %s: got %v; want outcome_unknown, and why it ended", what, during, err)
				}
			}
			ctx, leave := context.WithCancelCause(t.Context())
			time.AfterFunc(20*time.Millisecond, func() { leave(why) })
			if _, err := c.Score(ctx, contest); !errors.Is(err, why) || score.CodeOf(err) != "" {
				t.Errorf("a read, during %s: got %v; want why it ended, and no more", during, err)
			}
		})
	}
}

func TestAStreamThatLosesItsRightDoesNotSayThatNothingWasDone(t *testing.T) {
	for _, refusal := range []struct {
		status int
		code   score.Code
		lost   bool // the first connection, after the event was sent
		want   score.Code
	}{
		{http.StatusUnauthorized, score.Unauthorized, false, score.Unauthorized},
		{http.StatusUnauthorized, score.Unauthorized, true, score.OutcomeUnknown},
		{http.StatusForbidden, score.Forbidden, true, score.OutcomeUnknown},
		{http.StatusConflict, score.SeqGap, true, score.SeqGap}, // whatever became of it, the event is no gap
	} {
		synctest.Test(t, func(t *testing.T) {
			lost := refusal.lost
			c, err := newTransportClient(func(r *http.Request) (int, io.ReadCloser, error) {
				if r.Method != http.MethodPost {
					return 404, nil, nil
				}
				if lost {
					lost = false
					_, _ = r.Body.Read(make([]byte, 1))
					return 0, nil, io.ErrUnexpectedEOF
				}
				body := fmt.Sprintf(`{"status":%d,"code":%q,"detail":"refused"}`, refusal.status, refusal.code)
				return refusal.status, io.NopCloser(strings.NewReader(body)), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s := c.Stream(t.Context(), client.StreamOptions{})
			e := alert("hail")
			if err := s.Send(&e); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); score.CodeOf(err) != refusal.want {
				t.Errorf("%s, after a lost connection: %t: got %v; want %s", refusal.code, refusal.lost, err, refusal.want)
			}
		})
	}
}

// The first answer is lost, so the second says only what became of the second attempt.
func TestARefusalAfterALostAnswerDoesNotSayThatNothingWasDone(t *testing.T) {
	for _, refusal := range []struct {
		status    int
		code      score.Code
		leave     score.Code // what each change ends with; "": it has succeeded
		transfer  score.Code
		eventPost score.Code
	}{
		{http.StatusNotFound, score.NotFound, "", score.OutcomeUnknown, score.NotFound},
		{http.StatusConflict, score.StatusConflict, score.OutcomeUnknown, score.OutcomeUnknown, score.StatusConflict},
		{http.StatusUnauthorized, score.Unauthorized, score.OutcomeUnknown, score.OutcomeUnknown, score.OutcomeUnknown},
		{http.StatusForbidden, score.Forbidden, score.OutcomeUnknown, score.OutcomeUnknown, score.OutcomeUnknown},
	} {
		var requests atomic.Int32
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet && requests.Add(1)%2 == 1 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(refusal.status)
			fmt.Fprintf(w, `{"status":%d,"code":%q,"detail":"refused"}`, refusal.status, refusal.code)
		}))
		// An attempt that was given up could still be counted as one of the next.
		c := newClient(t, withPatience(client.Options{}), s.URL)
		_, posted := c.Post(t.Context(), []score.Event{alert("hail")})
		for _, one := range []struct {
			what string
			err  error
			want score.Code
		}{
			{"leave", second(c.Leave(t.Context(), "f3", false)), refusal.leave},
			{"revoke", c.Revoke(t.Context(), "1f0c"), refusal.leave},
			{"transfer", c.Transfer(t.Context(), "f2"), refusal.transfer},
			{"post", posted, refusal.eventPost},
		} {
			if got := score.CodeOf(one.err); got != one.want || (one.err != nil) != (one.want != "") {
				t.Errorf("%s, then %s: got %v; want %q", one.what, refusal.code, one.err, one.want)
			}
		}
		s.Close()
	}
}
