package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"laurel/internal/cli"
	"laurel/internal/testgroup"
	"laurel/score"
)

const arena = "bard/arena"

// bad are events that can never be taken, each with a part of the reason. %d is the seq.
var bad = map[string]struct{ line, reason string }{
	"by the state": {`{"id":"bad","source":"bard/arena","seq":%d,"type":"score.play","time":"2026-07-01T10:00:01Z",` +
		`"contest_id":"OG50BC/1","data":{"competitor":"ZZZ","delta":1}}`, "does not compete"},
	"by its form": {`{"id":"bad","source":"bard/arena","seq":%d,"type":"alert","time":"2026-07-01T10:00:01Z",` +
		`"contest_id":"OG50BC/1","data":{"txt":"x"}}`, "data.txt"},
	"by its time": {`{"id":"bad","source":"bard/arena","seq":%d,"type":"alert","time":"25 o'clock",` +
		`"contest_id":"OG50BC/1","data":{"text":"x"}}`, "time"},
	"by a time to come": {`{"id":"bad","source":"bard/arena","seq":%d,"type":"alert","time":"2999-07-01T10:00:00Z",` +
		`"contest_id":"OG50BC/1","data":{"text":"x"}}`, "time"},
	"by its id": {`{"id":5,"source":"bard/arena","seq":%d,"type":"alert","time":"2026-07-01T10:00:01Z",` +
		`"contest_id":"OG50BC/1","data":{"text":"x"}}`, "id"},
	"by its type": {`{"id":"bad","source":"bard/arena","seq":%d,"type":"earthquake","time":"2026-07-01T10:00:01Z",` +
		`"contest_id":"OG50BC/1","data":{"text":"x"}}`, "type"},
	"by its contest": {`{"id":"bad","source":"bard/arena","seq":%d,"type":"alert","time":"2026-07-01T10:00:01Z",` +
		`"contest_id":"no id","data":{"text":"x"}}`, "contest_id"},
	"by its text": {`{"id":"bad","source":"bard/arena","seq":%d,"type":"alert","time":"2026-07-01T10:00:01Z",` +
		`"contest_id":"OG50BC/1","data":{"text":"\ud800"}}`, "surrogate"},
	"by its end": {`{"id":"bad","source":"bard/arena","seq":%d,"type":"alert","time":"2026-07-01T10:00:01Z",` +
		`"contest_id":"OG50BC/1","data":{"te`, "ends in the middle"},
	"by two ids": {`{"id":"bad","source":"bard/arena","seq":%d,"type":"alert","time":"2026-07-01T10:00:01Z",` +
		`"contest_id":"OG50BC/1","data":{"text":"x"},"id":"worse"}`, "twice"},
	"by its length": {`{"id":"bad","source":"bard/arena","seq":%d,"type":"alert","time":"2026-07-01T10:00:01Z",` +
		`"contest_id":"OG50BC/1","data":{"text":"` + strings.Repeat("x", 3*score.MaxEventBytes) + `"}}`, "too_large"},
	"by another award": {`{"id":"bad","source":"bard/arena","seq":%d,"type":"medal.award","time":"2026-07-01T10:00:01Z",` +
		`"contest_id":"OG50BC/1","data":{"award_id":"gold","medal":"GOLD","organisation":"GAU"}}`, "id_conflict"},
}

// withBad returns n lines with events of arena, of which those at the seqs are bad.
func withBad(n int, line string, seqs ...int) string {
	var b strings.Builder
	for seq := 1; seq <= n; seq++ {
		text := fmt.Sprintf(`{"id":"a-%d","source":"bard/arena","seq":%[1]d,"type":"alert","time":"2026-07-01T10:00:00Z",`+
			`"contest_id":"OG50BC/1","data":{"text":"line %[1]d"}}`, seq)
		for _, at := range seqs {
			if at == seq {
				text = fmt.Sprintf(line, seq)
			}
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

// groupWithContest is a group with a contest and an award of another feed.
func groupWithContest(t *testing.T) *testgroup.Group {
	t.Helper()
	g := group(t, 1)
	for _, args := range [][]string{
		{"define", "contest", "OG50BC/1", "--kind", "head_to_head", "--sport", "football", "--competitor", "A", "--competitor", "B"},
		{"status", "OG50BC/1", "--schedule-status", "RUNNING"},
		{"award", "OG50BC/1", "--award-id", "gold", "--medal", "GOLD", "--organisation", "ROM"},
	} {
		if code, _, errs := bard(t.Context(), g, nil, args...); code != cli.ExitOK {
			t.Fatalf("bard %q: exit code %d: %s", args, code, errs)
		}
	}
	return g
}

// wantSkipped checks that arena has n events, of which those at the seqs are alerts with
// the reason.
func wantSkipped(t *testing.T, g *testgroup.Group, reason string, n int, seqs ...int) {
	t.Helper()
	var got []score.Event
	for _, e := range g.Events("OG50BC/1") {
		if e.Source == arena {
			got = append(got, e)
		}
	}
	if len(got) != n {
		t.Fatalf("%d events were counted; want %d", len(got), n)
	}
	refused := 0
	for i, e := range got {
		text := e.Data.(*score.Alert).Text
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d has seq %d", i, e.Seq)
		}
		if strings.HasPrefix(text, "refused: event ") {
			if refused++; !strings.Contains(text, reason) || !strings.HasPrefix(e.ID, "refused-") {
				t.Errorf("the alert %s is %q; want the reason %q", e.ID, text, reason)
			}
		} else if text != fmt.Sprint("line ", i+1) {
			t.Errorf("event %d is %q", i, text)
		}
	}
	if refused != len(seqs) {
		t.Errorf("%d alerts are in the places of events; want those at %v", refused, seqs)
	}
}

func TestARefusedEventSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := groupWithContest(t)
			code, _, errs := bard(t.Context(), g, strings.NewReader(withBad(3, c.line, 2)), "sing", "-")
			for _, want := range []string{"bard: line 2", c.reason, "seq 2 of bard/arena", "To go on", "--on-refusal=skip"} {
				if !strings.Contains(errs, want) {
					t.Errorf("stderr %q; want %q", errs, want)
				}
			}
			if code != cli.ExitFailed {
				t.Errorf("exit code %d", code)
			}
			wantSkipped(t, g, "", 1)
		})
	}
}

func TestSkippingARefusedEventPutsAnAlertInItsPlace(t *testing.T) {
	t.Parallel()
	for name, c := range bad {
		for _, signed := range []bool{false, true} {
			if signed && (name == "by its id" || name == "by its type") {
				continue // another reason is found first
			}
			t.Run(fmt.Sprintf("%s, signed %v", name, signed), func(t *testing.T) {
				t.Parallel()
				g := groupWithContest(t)
				args := []string{"sing", "-"}
				if signed {
					file, public := newKey(t)
					g.Register(arena, public)
					args = append(args, "--key", file)
				}
				skip := append(args, "--on-refusal=skip")
				input := withBad(700, c.line, 2, 3, 600)
				code, out, errs := bard(t.Context(), g, strings.NewReader(input), skip...)
				events, duplicates := 0, 0 // of a connection that the server has reset, some are sent again, alerts too
				fmt.Sscanf(out, "events %d, duplicates %d,", &events, &duplicates)
				if code != cli.ExitOK || !strings.Contains(out, "refused 3, each with an alert in its place:\n  line 2") ||
					!strings.Contains(out, "\n  line 600") || events > 697 || events+duplicates < 697 ||
					strings.Count(errs, "an alert has its place") != 3 {
					t.Fatalf("exit code %d, stderr %q, the summary is %q", code, errs, out)
				}
				wantSkipped(t, g, c.reason, 700, 2, 3, 600)
				// The same line is recognized by its alert, with the flag and without.
				for _, again := range [][]string{skip, args} {
					code, out, errs = bard(t.Context(), g, strings.NewReader(input), again...)
					if code != cli.ExitOK || !sums(out, "events 0, duplicates 0, skipped (acknowledged before) 700\n") ||
						strings.Contains(out, "refused") {
						t.Errorf("exit code %d, stderr %q, the summary is %q", code, errs, out)
					}
				}
				wantSkipped(t, g, c.reason, 700, 2, 3, 600)
			})
		}
	}
}

// unnumbered returns events of arena without their sources and seqs.
func unnumbered(input string) string {
	input = strings.ReplaceAll(input, `"source":"bard/arena",`, "")
	for seq := range 10 {
		input = strings.ReplaceAll(input, fmt.Sprintf(`"seq":%d,`, seq), "")
	}
	return input
}

func TestSkippingIsSafeForEventsThatAreNumberedHere(t *testing.T) {
	t.Parallel()
	for name, c := range bad {
		if name == "by its end" || name == "by its length" || name == "by two ids" {
			continue // it may have a source
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := groupWithContest(t)
			input := unnumbered(withBad(5, c.line, 2))
			const again = "events 4, duplicates 4, skipped (acknowledged before) 1"
			for _, run := range []struct{ flag, want string }{
				{"--on-refusal=skip", "events 4, duplicates 0,"}, {"--on-refusal=skip", again}, {"--on-refusal=stop", again},
			} {
				code, out, errs := bard(t.Context(), g, strings.NewReader(input), "sing", "-", "--source", arena, run.flag)
				if code != cli.ExitOK || !sums(out, run.want) {
					t.Fatalf("%s: exit code %d, stderr %q, the summary is %q; want %q", run.flag, code, errs, out, run.want)
				}
				wantSkipped(t, g, c.reason, 5, 2)
			}
		})
	}
}

func TestALastLineThatIsNotWholeIsNotSkipped(t *testing.T) {
	t.Parallel()
	g := groupWithContest(t)
	input := withBad(4, "")
	for _, flag := range []string{"--on-refusal=stop", "--on-refusal=skip"} {
		code, _, errs := bard(t.Context(), g, strings.NewReader(input[:len(input)-20]), "sing", "-", flag)
		if code != cli.ExitFailed || !strings.Contains(errs, "bard: line 4, event a-4: invalid_event") ||
			!strings.Contains(errs, "post it again when it is whole") {
			t.Errorf("%s: exit code %d, stderr %q", flag, code, errs)
		}
		wantSkipped(t, g, "", 3)
	}
	if code, _, errs := bard(t.Context(), g, strings.NewReader(input), "sing", "-"); code != cli.ExitOK {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	wantSkipped(t, g, "", 4)
}

func TestAFailureToReadIsNoRefusal(t *testing.T) {
	t.Parallel()
	whole := compressed(t, withBad(500, ""))
	for name, c := range map[string]struct {
		in   io.Reader
		want string
	}{
		"a cut file": {strings.NewReader(whole[:len(whole)/2]), "post it again when it is whole"},
		"a bad disk": {io.MultiReader(strings.NewReader(withBad(3, "")), iotest.ErrReader(errors.New("disk on fire"))),
			"bard: line 4: read the input: disk on fire\n"},
	} {
		g := groupWithContest(t)
		code, _, errs := bard(t.Context(), g, c.in, "sing", "-", "--on-refusal=skip")
		if code != cli.ExitFailed || !strings.Contains(errs, c.want) || strings.Contains(errs, "bard alert") {
			t.Errorf("%s: exit code %d, stderr %q; want %q", name, code, errs, c.want)
		}
	}
}

func TestALineOfWhichNothingIsKnownSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--on-refusal=stop", "--on-refusal=skip"} {
		g := groupWithContest(t)
		file := filepath.Join(t.TempDir(), "feed")
		input := withBad(5, "hail", 3)
		if err := os.WriteFile(file, []byte(input), 0o600); err != nil {
			t.Fatal(err)
		}
		const want = "if it is seq 3 of bard/arena, post an alert by hand: bard alert CONTEST --source bard/arena --seq 3 --text REASON"
		code, _, errs := bard(t.Context(), g, nil, "sing", file, flag)
		if code != cli.ExitFailed || !strings.Contains(errs, "bard: line 3: invalid_event") || !strings.Contains(errs, want) ||
			!strings.Contains(errs, "tail -n +4 "+file+" | bard sing -") {
			t.Errorf("%s: exit code %d, stderr %q", flag, code, errs)
		}
		code, _, errs = bard(t.Context(), g, nil, "alert", "OG50BC/1", "--source", arena, "--seq", "3", "--text", "line 3")
		if code != cli.ExitOK {
			t.Errorf("exit code %d, stderr %q", code, errs)
		}
		rest := strings.Join(strings.SplitAfter(input, "\n")[3:], "")
		if code, _, errs := bard(t.Context(), g, strings.NewReader(rest), "sing", "-"); code != cli.ExitOK {
			t.Errorf("exit code %d, stderr %q", code, errs)
		}
		wantSkipped(t, g, "", 5)
	}
}

func TestAnEventOfASourceWithoutSeqsSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	g := groupWithContest(t)
	input := strings.ReplaceAll(unnumbered(withBad(3, bad["by the state"].line, 2)), `{"id"`, `{"source":"bard/arena","id"`)
	code, _, errs := bard(t.Context(), g, strings.NewReader(input), "sing", "-")
	if code != cli.ExitFailed || !strings.Contains(errs, "To go on without it, run bard sing with --on-refusal=skip") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	if code, _, errs = bard(t.Context(), g, strings.NewReader(input), "sing", "-", "--on-refusal=skip"); code != cli.ExitOK {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	// It was not numbered here, so a source of another name would not help.
	edited := strings.Replace(input, "line 3", "edited", 1)
	code, _, errs = bard(t.Context(), g, strings.NewReader(edited), "sing", "-", "--on-refusal=skip")
	if code != cli.ExitFailed || !strings.Contains(errs, "line 3, event a-3: id_conflict") || strings.Contains(errs, "--source") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
}

func TestABardThatComesBackKnowsTheAlertsOfAnother(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--on-refusal=skip", "--on-refusal=stop"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			g := groupWithContest(t)
			input := withBad(50, bad["by the state"].line, 2, 3, 40)
			first, rest, _ := strings.Cut(input, "\n")
			in, feed := io.Pipe()
			done := make(chan struct{})
			defer func() { feed.Close(); <-done }()
			go func() {
				defer close(done)
				defer in.Close()
				code, out, errs := bard(t.Context(), g, in, "sing", "-", flag)
				if code != cli.ExitOK || !sums(out, "events 50, duplicates 49,") {
					t.Errorf("exit code %d, stderr %q, the summary is %q", code, errs, out)
				}
			}()
			io.WriteString(feed, first+"\n")
			for end := time.Now().Add(time.Minute); len(g.Events("OG50BC/1")) < 4; {
				if time.Now().After(end) {
					t.Fatal("the first event was not posted")
				}
			}
			// It has asked for the last seq, and hangs now.
			code, _, errs := bard(t.Context(), g, strings.NewReader(input), "sing", "-", "--on-refusal=skip")
			if code != cli.ExitOK {
				t.Errorf("exit code %d, stderr %q", code, errs)
			}
			io.WriteString(feed, rest)
			feed.Close()
			<-done
			wantSkipped(t, g, "does not compete", 50, 2, 3, 40)
		})
	}
}

func TestACorrectedLineDoesNotTakeThePlaceOfTheAlert(t *testing.T) {
	t.Parallel()
	g := groupWithContest(t)
	input := withBad(3, bad["by the state"].line, 2)
	if code, _, errs := bard(t.Context(), g, strings.NewReader(input), "sing", "-", "--on-refusal=skip"); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, flag := range []string{"--on-refusal=skip", "--on-refusal=stop"} {
		corrected := strings.Replace(input, "ZZZ", "A", 1)
		code, _, errs := bard(t.Context(), g, strings.NewReader(corrected), "sing", "-", flag)
		if code != cli.ExitFailed || !strings.Contains(errs, "bard: line 2, event bad: id_conflict") {
			t.Errorf("%s: exit code %d, stderr %q", flag, code, errs)
		}
	}
	wantSkipped(t, g, "does not compete", 3, 2)
}

func TestWhatConcernsAllEventsIsNotSkipped(t *testing.T) {
	t.Parallel()
	const other = `{"id":"b","source":"bard/arena","seq":%d,"type":"alert","time":"2026-07-01T10:00:00Z",` +
		`"contest_id":"OG50BC/1","data":{"text":"another"}}`
	for name, c := range map[string]struct{ input, want string }{
		"another event under a seq": {withBad(4, other, 2), "line 2, event b: id_conflict"},
		"a gap":                     {strings.Replace(withBad(5, other), `"seq":4`, `"seq":7`, 1), "line 4, event a-4: seq_gap"},
		"no JSON":                   {withBad(3, other) + "hail\n" + withBad(4, other), "line 4: invalid_event: not valid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := groupWithContest(t)
			if code, _, errs := bard(t.Context(), g, strings.NewReader(withBad(3, other)), "sing", "-"); code != cli.ExitOK {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			code, _, errs := bard(t.Context(), g, strings.NewReader(c.input), "sing", "-", "--on-refusal=skip")
			if code != cli.ExitFailed || !strings.Contains(errs, c.want) {
				t.Errorf("exit code %d, stderr %q; want %q", code, errs, c.want)
			}
			wantSkipped(t, g, "", 3)
		})
	}
}

func TestARefusalByAccessControlIsNotSkipped(t *testing.T) {
	t.Parallel()
	g := groupWithContest(t)
	file, _ := newKey(t) // which nobody has registered
	code, _, errs := bard(t.Context(), g, strings.NewReader(withBad(3, "")), "sing", "-", "--key", file, "--on-refusal=skip")
	if code != cli.ExitFailed || !strings.Contains(errs, "bard: line 1, event a-1: unauthorized") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	wantSkipped(t, g, "", 0)
}

func TestAnAlertWithoutAContestIsNotMade(t *testing.T) {
	t.Parallel()
	g := groupWithContest(t)
	code, out, errs := bard(t.Context(), g, strings.NewReader(withBad(3, bad["by its contest"].line, 1)), "sing", "-",
		"--on-refusal=skip")
	if code != cli.ExitFailed || !strings.Contains(errs, "bard: line 1") || strings.Contains(out, "refused") {
		t.Errorf("exit code %d, stderr %q, the summary is %q", code, errs, out)
	}
}

func TestAnEventAheadOfTheClockIsRefusedAlone(t *testing.T) {
	t.Parallel()
	g := group(t, 2)
	for i, f := range g.Frontends { // one of them is the master
		line := strings.ReplaceAll(bad["by a time to come"].line, arena, fmt.Sprint(arena, i))
		input := strings.ReplaceAll(withBad(50, line, 20), arena+`"`, fmt.Sprint(arena, i, `"`))
		code, out, errs := against(t, f.URL, input, time.Minute, "sing", "-")
		if code != cli.ExitFailed || !strings.Contains(errs, "line 20, event bad: invalid_event: time: ") ||
			!strings.HasPrefix(out, "events 19, ") {
			t.Errorf("%s: exit code %d, stderr %q, the summary is %q", f.ID, code, errs, out)
		}
	}
	if n := len(g.Events("OG50BC/1")); n != 2*19 {
		t.Errorf("%d events were counted; want those before", n)
	}
}

func TestALongReportIsCut(t *testing.T) {
	t.Parallel()
	r := refusals{placeholders: map[int]error{}}
	for i := range maxReported + 5 {
		r.placeholders[i] = fmt.Errorf("line %d is bad", i)
		if r.applied(i) == "" {
			t.Fatal("it was not applied")
		}
	}
	if got := r.report(); strings.Count(got, "\n") != maxReported+2 || !strings.HasSuffix(got, "  and 5 more\n") {
		t.Errorf("got %s", got)
	}
}
