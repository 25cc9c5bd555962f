package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// thief is somebody with the token of a bard that may post to one competition, from whom
// an attack comes.
type thief struct {
	token   string
	contest string
}

// newThief makes the token and a contest of many events.
func (s *attackTest) newThief(plays int) *thief {
	t := s.t
	t.Helper()
	_, token := s.newBard("bard/thief")
	a := &thief{token: token, contest: "OG50BC/STOLEN"}
	lines := []string{
		a.event("define", "contest.define", `{"kind":"head_to_head","sport":"x","competitors":[{"code":"A"}]}`),
		a.event("run", "contest.status", `{"schedule_status":"RUNNING"}`),
	}
	for i := range plays {
		lines = append(lines, a.event(fmt.Sprint("p", i), "score.play", `{"competitor":"A","delta":1}`))
	}
	eventually(t, "the events of the contest are applied", func() error {
		status, answer, err := a.send(t.Context(), s.frontends[0], ndjson, strings.Join(lines, "\n"))
		n := strings.Count(answer, `"applied"`) + strings.Count(answer, `"duplicate"`) // by a try that broke off
		if err != nil || status != http.StatusOK || n != len(lines) {
			return fmt.Errorf("%d of %d, %d %.200s %w", n, len(lines), status, answer, err)
		}
		return nil
	})
	return a
}

func (a *thief) event(id, kind, data string) string {
	return fmt.Sprintf(`{"id":%q,"type":%q,"contest_id":%q,"data":%s}`, id, kind, a.contest, data)
}

// voids returns events that void an event, the void, the void of the void, and so on.
func (a *thief) voids(prefix string, n int) (list []string) {
	target := "p7"
	for i := range n {
		id := fmt.Sprintf("%s-%d", prefix, i)
		list = append(list, a.event(id, "event.void", fmt.Sprintf(`{"voids":%q,"reason":"x"}`, target)))
		target = id
	}
	return list
}

const ndjson = "application/x-ndjson"

// send posts events with the token.
func (a *thief) send(ctx context.Context, f *frontend, media, body string) (status int, answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, "POST", f.url+"/v1/events", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", media)
	r.Header.Set("Authorization", "Bearer "+a.token)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// refusedStream posts a stream whose token is wrong, and does not end it.
func refusedStream(ctx context.Context, f *frontend, settled func()) error {
	return says(ctx, f.http, postHead+ndjson+"\r\nAuthorization: Bearer x\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n", "1\r\n\n\r\n", settled)
}

// blankStream posts a stream without events, and keeps it open by blank lines.
func blankStream(ctx context.Context, f *frontend, settled func()) error {
	return says(ctx, f.http, postHead+ndjson+"\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n\n\r\n", settled)
}

func TestPostsOfThievesAndStrangersStopNobody(t *testing.T) {
	needsProcesses(t)
	patient := []string{attackPatience}
	form := byForm(attackForm{time.Second, 20, patient}, attackForm{3 * time.Second, 10, patient},
		attackForm{8 * time.Second, 1, nil})
	s := newAttackTest(t, newSecureGroup(t, 3, form.env...))
	a := s.newThief(20_000)
	s.runAttack(t, attack{name: "none"}, form.length)
	inForms := func(media, join string) func(context.Context, *frontend, func()) error {
		return func(ctx context.Context, f *frontend, settled func()) error {
			body := strings.Join(a.voids(fmt.Sprint(time.Now().UnixNano()), 1000), join)
			if join == "," {
				body = "[" + body + "]"
			}
			time.AfterFunc(attackPause, settled) // a stream takes long
			_, _, err := a.send(ctx, f, media, body)
			return err
		}
	}
	for _, one := range []attack{
		{name: "arrays of 1,000 voids", conns: 40, kib: 4096, goroutines: 10, do: inForms("application/json", ",")},
		{name: "streams of 1,000 voids", conns: 40, kib: 4096, goroutines: 10, do: inForms(ndjson, "\n")},
		{name: "refused streams", conns: 2000, kib: 64, goroutines: 3, do: refusedStream},
		{name: "streams of blank lines", conns: 1000, kib: 64, goroutines: 3, do: blankStream},
	} {
		one.conns = max(2, one.conns/form.share)
		t.Run(one.name, func(t *testing.T) {
			s.runAttack(t, one, form.length)
			s.awaitRecovery(t)
		})
	}
	s.stopLoad()
	// Whatever the thief has done can be taken back.
	operator := *a
	operator.token = s.operator
	// With one id: if the answer to a try is lost, another void of the event would be refused.
	body := operator.event(fmt.Sprint("v", time.Now().UnixNano()), "event.void", `{"voids":"p100","reason":"false"}`)
	eventually(t, "an event of the thief is voided", func() error {
		status, answer, err := operator.send(t.Context(), s.frontends[1], "application/json", body)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("%d %s %v", status, answer, err)
		}
		return nil
	})
	s.expectSecretsKept()
}
