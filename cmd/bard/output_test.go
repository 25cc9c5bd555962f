package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"laurel/internal/cli"
)

// against runs the program against a server, with in as its standard input.
func against(
	t *testing.T, url, in string, patience time.Duration, args ...string,
) (code int, out, errs string) {
	t.Helper()
	return againstIn(t.Context(), url, in, patience, args...)
}

func againstIn(
	ctx context.Context, url, in string, patience time.Duration, args ...string,
) (code int, out, errs string) {
	var o, e bytes.Buffer
	c := newBardCommand()
	c.SetArgs(append(args, "--to", url, "--patience", patience.String()))
	c.SetIn(strings.NewReader(in))
	c.SetOut(&o)
	c.SetErr(&e)
	code = cli.Run(ctx, c)
	return code, o.String(), e.String()
}

func TestWhatAFrontendAnswersToABardDoesNotDriveTheTerminal(t *testing.T) {
	const evil = "\x1b]0;owned\x07\u009b31m\u202e"
	escaped := strings.NewReplacer("\x1b", `\u001b`, "\x07", `\u0007`).Replace(evil)
	for name, answer := range map[string]string{
		"result":  `{"results":[{"id":"` + escaped + `","status":"` + escaped + `","revision":1}]}`,
		"problem": `{"status":409,"code":"` + escaped + `","detail":"` + escaped + `"}`,
		"page":    evil,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name != "result" {
				w.WriteHeader(http.StatusConflict)
			}
			fmt.Fprintln(w, answer)
		}))
		for _, args := range [][]string{{"alert", "A/1", "--text", "boar"}, {"alert", "A/1", "--text", "boar", "--json"},
			{"sing", "-"}} {
			code, out, errs := against(t, s.URL, alerts(1), time.Second, args...)
			drives := func(r rune) bool {
				return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
			}
			if strings.ContainsFunc(out+errs, drives) {
				t.Errorf("%s: bard %q: exit code %d, stdout %q, stderr %q", name, args, code, out, errs)
			}
		}
		s.Close()
	}
}

func TestAFrontendDoesNotSpeakInTheNameOfBard(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"status":503,"code":"no_master","detail":"later\nbard: all is well"}`)
	}))
	defer s.Close()
	for _, args := range [][]string{{"alert", "A/1", "--text", "boar"}, {"sing", "-"}} {
		anonymous := `{"type":"alert","contest_id":"A/1","data":{"text":"boar"}}` + "\n"
		if _, _, errs := against(t, s.URL, anonymous, 300*time.Millisecond, args...); strings.Contains("\n"+errs, "\nbard: all") {
			t.Errorf("bard %q: stderr %q", args, errs)
		}
	}
}

func TestAnEventThatWasNotSentEndsWithTheCodeOfNoFrontend(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // for the refused handshakes
	s.StartTLS()
	defer s.Close()
	anonymous := `{"type":"alert","contest_id":"A/1","data":{"text":"boar"}}` + "\n"
	for name, in := range map[string]string{"alert": "", "sing": alerts(1), "sing without sources": anonymous} {
		args := []string{"sing", "-"}
		if in == "" {
			args = []string{"alert", "A/1", "--text", "boar"}
		}
		code, _, errs := against(t, s.URL, in, time.Minute, args...) // it ends at once
		if code != cli.ExitUnreachable || strings.Contains(errs, "outcome_unknown") ||
			!strings.Contains(errs, "certificate") {
			t.Errorf("%s: exit code %d, stderr %q; want %d", name, code, errs, cli.ExitUnreachable)
		}
	}
	// A server that accepts the request and answers nothing may have applied the event. One
	// without a seq is posted at once.
	noSeq := `{"source":"a","type":"alert","contest_id":"A/1","data":{"text":"boar"}}` + "\n"
	var posts atomic.Int32
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	clear := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && posts.Add(1) == 2 {
			cancel(context.DeadlineExceeded) // the alert ends as if its patience had passed
		}
		panic(http.ErrAbortHandler)
	}))
	defer clear.Close()
	code, _, errs := againstIn(ctx, clear.URL, "", time.Minute, "alert", "A/1", "--text", "boar")
	if code != cli.ExitFailed || !strings.Contains(errs, "outcome_unknown") {
		t.Errorf("bard alert: exit code %d, stderr %q; want %d and outcome_unknown", code, errs, cli.ExitFailed)
	}
	// It tries once at least, for which a busy machine may not let it have a connection.
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		if code, _, errs = against(t, clear.URL, noSeq, 2*time.Second, "sing", "-"); code != cli.ExitUnreachable {
			break
		}
	}
	if code != cli.ExitFailed || !strings.Contains(errs, "outcome_unknown") {
		t.Errorf("bard sing: exit code %d, stderr %q; want %d and outcome_unknown", code, errs, cli.ExitFailed)
	}
}
