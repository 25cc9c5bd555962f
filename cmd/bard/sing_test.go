package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"laurel/internal/cli"
	"laurel/internal/testgroup"
	"laurel/score"
)

func group(t *testing.T, n int) *testgroup.Group {
	t.Helper()
	return testgroup.Start(t, n)
}

// bard runs the program against g, with in as its standard input.
func bard(ctx context.Context, g *testgroup.Group, in io.Reader, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	c := newBardCommand()
	c.SetArgs(append(args, "--to", g.Frontends[0].URL))
	c.SetIn(in)
	c.SetOut(&o)
	c.SetErr(&e)
	code = cli.Run(ctx, c)
	return code, o.String(), e.String()
}

var duplicates = regexp.MustCompile(`duplicates [\d,]+`)

// sums reports whether a summary begins with want. Events that a busy machine has answered late
// are sent again, and then there may be more duplicates.
func sums(summary, want string) bool {
	if !strings.Contains(summary, "\nretries 0,") {
		summary, want = duplicates.ReplaceAllString(summary, "-"), duplicates.ReplaceAllString(want, "-")
	}
	return strings.HasPrefix(summary, want)
}

// alerts returns n events of one source.
func alerts(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, `{"id":"c-%d","source":"bard/cacofonix","seq":%d,"type":"alert","time":"2026-02-09T10:%02d:%02dZ","contest_id":"OG50BC/1","data":{"text":"line %d"}}`+"\n", i, i, i/60%60, i%60, i)
	}
	return b.String()
}

// wantAccepted checks that g has the events 1 to n of alerts, each once and in order.
func wantAccepted(t *testing.T, g *testgroup.Group, n int) {
	t.Helper()
	accepted := g.Events("OG50BC/1")
	if len(accepted) != n {
		t.Fatalf("%d events were counted; want %d", len(accepted), n)
	}
	for i, e := range accepted {
		if want := fmt.Sprintf("line %d", i+1); e.Data.(*score.Alert).Text != want {
			t.Fatalf("event %d is %q; want %q", i+1, e.Data.(*score.Alert).Text, want)
		}
	}
}

// every injects a fault at each nth event that is posted.
func every(n int32, fault testgroup.Fault) testgroup.Injector {
	var count atomic.Int32
	return func(_ *testgroup.Frontend, _ *http.Request, e *score.Event) testgroup.Fault {
		if e != nil && count.Add(1)%n == 0 {
			return fault
		}
		return testgroup.None
	}
}

func TestAStreamIsCountedOnceWhateverHappensToFrontends(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]testgroup.Fault{
		"nothing": testgroup.None, "dies in the middle": testgroup.CutBefore, "loses the answer": testgroup.CutAfter,
		"has no master": testgroup.Unavailable, "is busy": testgroup.Busy,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := group(t, 3)
			g.Inject(every(450, fault))
			code, out, errs := bard(t.Context(), g, strings.NewReader(alerts(2000)), "sing", "-")
			if code != cli.ExitOK {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			wantAccepted(t, g, 2000)
			if !strings.HasPrefix(out, "events 2,000, duplicates ") {
				t.Errorf("the summary is %q", out)
			}
			if troubled := !strings.Contains(out, "retries 0"); !troubled && fault != testgroup.None ||
				troubled != strings.Contains(errs, "continuing with what is not acknowledged") {
				t.Errorf("the summary is %q, stderr %q", out, errs)
			}
		})
	}
}

func TestAByteOrderMarkIsNoPartOfTheFirstEvent(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	marked := "\uFEFF" + strings.ReplaceAll(alerts(3), "\n", "\r\n")
	if code, _, errs := bard(t.Context(), g, strings.NewReader(marked), "sing", "-"); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	wantAccepted(t, g, 3)
	// Without a source an event is numbered here, by its text.
	one := `{"type":"alert","contest_id":"D15/1","data":{"text":"hi"}}` + "\n"
	for _, in := range []string{one, "\uFEFF" + one, "\uFEFF" + one[:len(one)-1] + "\r\n\uFEFF\r\n"} {
		if code, _, errs := bard(t.Context(), g, strings.NewReader(in), "sing", "-"); code != cli.ExitOK {
			t.Errorf("exit code %d: %s", code, errs)
		}
	}
	if n := len(g.Events("D15/1")); n != 1 {
		t.Errorf("the same line with and without a mark was counted %d times", n)
	}
	wide := "\xff\xfe{\x00\"\x00i\x00d\x00\"\x00\r\x00\n\x00"
	code, _, errs := bard(t.Context(), g, strings.NewReader(wide), "sing", "-")
	if code != cli.ExitFailed || !strings.Contains(errs, "line 1: invalid_event: not valid JSON: the text is UTF-16; want JSON in UTF-8") {
		t.Errorf("UTF-16: exit code %d, %q", code, errs)
	}
}

func TestAStreamContinuesAfterTheLastAckedSeq(t *testing.T) {
	t.Parallel()
	g := group(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	var count atomic.Int32
	g.Inject(func(_ *testgroup.Frontend, r *http.Request, e *score.Event) testgroup.Fault {
		switch {
		case e != nil && count.Add(1) == 700:
			return testgroup.CutAfter
		case e == nil && r.Method == http.MethodPost && count.Load() >= 700:
			cancel() // the bard is interrupted before it repeats what is not acknowledged
			return testgroup.Hang
		}
		return testgroup.None
	})
	if code, _, errs := bard(ctx, g, strings.NewReader(alerts(1000)), "sing", "-"); code != cli.ExitFailed ||
		!strings.Contains(errs, "interrupted") {
		t.Fatalf("exit code %d, stderr %q; want it interrupted", code, errs)
	}
	g.Inject(nil)
	acked := len(g.Events("OG50BC/1"))
	code, out, errs := bard(t.Context(), g, strings.NewReader(alerts(1000)), "sing", "-")
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	wantAccepted(t, g, 1000)
	// Events that were under way when the first bard was interrupted may be applied meanwhile.
	var events, duplicates, skipped int
	line, _, _ := strings.Cut(out, "\n")
	const format = "events %d, duplicates %d, skipped (acknowledged before) %d"
	if _, err := fmt.Sscanf(line, format, &events, &duplicates, &skipped); err != nil || skipped < acked ||
		events+skipped != 1000 {
		t.Errorf("the summary is %q (%v); want %d or more skipped, and 1000 events in all", out, err, acked)
	}
}

func TestARefusedEventIsNamedByLineAndID(t *testing.T) {
	t.Parallel()
	bad := `{"id":"bad","source":"bard/cacofonix","seq":3,"type":"contest.status","contest_id":"OG50BC/1","data":{"period":"END1"}}` + "\n"
	for name, c := range map[string]struct{ input, want string }{
		"by the state": {alerts(2) + "\n" + bad, "bard: line 4, event bad: not_found: "},
		"by its form": {alerts(2) + strings.Replace(bad, "period", "periods", 1),
			"bard: line 3, event bad: invalid_event: data.periods: "},
		"a gap":           {alerts(2) + strings.Replace(bad, `:3`, `:7`, 1), "bard: line 3, event bad: seq_gap: "},
		"not JSON":        {alerts(2) + "hail\n", "bard: line 3: invalid_event: not valid JSON"},
		"torn":            {alerts(3)[:400], "bard: line 3, event c-3: invalid_event: "},
		"too long a line": {alerts(2) + strings.Repeat("x", score.MaxEventBytes+3), "bard: line 3: too_large: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := group(t, 1)
			code, out, errs := bard(t.Context(), g, strings.NewReader(c.input), "sing", "-")
			if code != cli.ExitFailed || !strings.Contains(errs, c.want) {
				t.Errorf("exit code %d, stderr %q; want %q", code, errs, c.want)
			}
			if !strings.HasPrefix(out, "events 2, ") {
				t.Errorf("the summary is %q; want the two events before", out)
			}
			wantAccepted(t, g, 2)
		})
	}
}

func TestACompressedFileIsPosted(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, alerts(100)); err != nil {
		t.Fatal(err)
	}
	z.Close()
	for name, content := range map[string][]byte{"whole": b.Bytes(), "torn": b.Bytes()[:b.Len()-20]} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "events.ndjson.gz")
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			g := group(t, 1)
			code, _, errs := bard(t.Context(), g, nil, "sing", file)
			if name == "torn" {
				if code != cli.ExitFailed || !strings.Contains(errs, "unexpected EOF") {
					t.Errorf("exit code %d, stderr %q; want it to say that the file is torn", code, errs)
				}
				return
			}
			if code != cli.ExitOK {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			wantAccepted(t, g, 100)
		})
	}
}

// anonymous returns n events without source and seq, two thirds of them without id.
func anonymous(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		id := ""
		if i%3 == 0 {
			id = fmt.Sprintf(`"id":"own-%d",`, i)
		}
		fmt.Fprintf(&b, `{%s"type":"alert","contest_id":"OG50BC/1","data":{"text":"line %d"}}`+"\n", id, i)
	}
	return b.String()
}

func TestEventsWithoutSourcesAreDuplicatesTheSecondTime(t *testing.T) {
	t.Parallel()
	const n = 3000 // more than the ids that a store remembers
	for _, args := range [][]string{{"sing", "-"}, {"sing", "-", "--source", "feed/curling"}} {
		g := group(t, 1)
		for time, want := range []string{"events 3,000, duplicates 0,", "events 3,000, duplicates 3,000,"} {
			code, out, errs := bard(t.Context(), g, strings.NewReader(anonymous(n)), args...)
			if code != cli.ExitOK || !sums(out, want) {
				t.Fatalf("%q, time %d: exit code %d, stderr %q, the summary is %q; want %q", args, time, code, errs,
					out, want)
			}
		}
		wantAccepted(t, g, n)
		if e := g.Events("OG50BC/1")[2]; e.ID != "own-3" || e.Seq != 3 {
			t.Errorf("the third event has id %q and seq %d; want its own id, and 3", e.ID, e.Seq)
		}
	}
}

func TestAnotherInputThatBeginsAlikeIsRefusedNotSkipped(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	input := anonymous(3)
	if code, _, errs := bard(t.Context(), g, strings.NewReader(input), "sing", "-"); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	other := strings.ReplaceAll(input, "line 2", "another line")
	code, _, errs := bard(t.Context(), g, strings.NewReader(other), "sing", "-")
	if code != cli.ExitFailed || !strings.Contains(errs, "line 2") || !strings.Contains(errs, "--source") {
		t.Errorf("exit code %d, stderr %q; want line 2 refused, and --source named", code, errs)
	}
	if code, _, errs := bard(t.Context(), g, strings.NewReader(other), "sing", "-",
		"--source", "feed/other"); code != cli.ExitOK {
		t.Errorf("with a source of its own: exit code %d: %s", code, errs)
	}
}

func TestEventsWithASourceAndNoSeqAreIdentifiedByTheirIDs(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	input := strings.ReplaceAll(anonymous(5), `{"`, `{"source":"bard/cacofonix","`)
	input = strings.ReplaceAll(input, `"data":{"source":"bard/cacofonix",`, `"data":{`)
	for range 2 {
		if code, _, errs := bard(t.Context(), g, strings.NewReader(input), "sing", "-"); code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
	}
	wantAccepted(t, g, 5)
}

func TestAStreamOfManySourcesContinuesInEach(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	var input strings.Builder
	for seq := 1; seq <= 3; seq++ {
		for source := range 5 {
			fmt.Fprintf(&input, `{"source":"bard/%d","seq":%d,"type":"alert","contest_id":"OG50BC/1","data":{"text":"hail"}}`+"\n", source, seq)
		}
	}
	half := input.String()[:input.Len()/3]
	half = half[:strings.LastIndexByte(half, '\n')+1]
	for _, s := range []string{half, input.String(), input.String()} {
		if code, _, errs := bard(t.Context(), g, strings.NewReader(s), "sing", "-"); code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
	}
	if got := len(g.Events("OG50BC/1")); got != 15 {
		t.Errorf("%d events were counted; want 15", got)
	}
}

func TestAStreamThatNoFrontendAcceptsEndsWithThePatience(t *testing.T) {
	t.Parallel()
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		g := group(t, 1)
		g.Frontends[0].Detach()
		if code, _, errs := bard(t.Context(), g, strings.NewReader(alerts(1)), "sing", "-",
			"--patience", "200ms"); code != cli.ExitUnreachable {
			t.Errorf("exit code %d, stderr %q; want %d", code, errs, cli.ExitUnreachable)
		}
	})
	t.Run("no master", func(t *testing.T) {
		t.Parallel()
		g := group(t, 2)
		g.Inject(every(1, testgroup.Unavailable))
		// Without a seq, nothing is read before it is posted, so it is refused once at least.
		noSeq := strings.Replace(alerts(1), `"seq":1,`, "", 1)
		// On a busy machine it may not have a connection.
		code, errs := cli.ExitUnreachable, ""
		for begun := time.Now(); code == cli.ExitUnreachable && time.Since(begun) < time.Minute; {
			code, _, errs = bard(t.Context(), g, strings.NewReader(noSeq), "sing", "-", "--patience", "1s")
		}
		if code != cli.ExitFailed || !strings.Contains(errs, "no_master") {
			t.Errorf("exit code %d, stderr %q; want %d and no_master", code, errs, cli.ExitFailed)
		}
	})
}

func TestEventsAreDueByTheirOwnTimes(t *testing.T) {
	start := time.Date(2026, 2, 9, 10, 0, 0, 0, time.UTC)
	now := time.Unix(1000, 0)
	p := pace{speed: 60}
	for _, c := range []struct {
		at   time.Time
		now  time.Duration
		want time.Duration
	}{
		{start, 0, 0},
		{start.Add(time.Minute), 0, time.Second},
		{start.Add(time.Hour), 0, time.Minute},
		{start.Add(30 * time.Second), 0, 500 * time.Millisecond}, // earlier than the one before: due already
		{start.Add(time.Hour), 5 * time.Minute, time.Minute},     // late: nothing is put off
		{time.Time{}, 7 * time.Second, 7 * time.Second},          // no time: at once
	} {
		if got := p.due(c.at, now.Add(c.now)).Sub(now); got != c.want {
			t.Errorf("at %v, an event of %v is due after %v; want %v", c.now, c.at, got, c.want)
		}
	}
	fast := pace{}
	if got := fast.due(start.Add(time.Hour), now); got != now {
		t.Errorf("as fast as possible, it is due at %v; want at once", got)
	}
}

func TestEventsArePostedAtASpeed(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	if code, _, errs := bard(t.Context(), g, strings.NewReader(alerts(500)), "sing", "--speed", "10000",
		"-"); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	wantAccepted(t, g, 500)
}

func TestWrongUsageOfSing(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	for _, args := range [][]string{{"sing"}, {"sing", "a", "b"}, {"sing", "-", "--speed", "0"},
		{"sing", "-", "--speed", "NaN"}, {"sing", "-", "--speed", "fast"},
		{"sing", "-", "--standby", "0"}, {"sing", "-", "--standby", "99ms"}, {"sing", "-", "--on-refusal", "go"},
		{"sing", "-", "--patience", "0"}, {"sing", "-", "--source", "a b"}} {
		if code, _, errs := bard(t.Context(), g, strings.NewReader(""), args...); code != cli.ExitUsage {
			t.Errorf("bard %q: exit code %d, stderr %q; want %d", args, code, errs, cli.ExitUsage)
		}
	}
	for _, file := range []string{t.TempDir(), filepath.Join(t.TempDir(), "absent")} {
		if code, _, errs := bard(t.Context(), g, nil, "sing", file); code != cli.ExitFailed ||
			!strings.Contains(errs, file) {
			t.Errorf("bard sing %s: exit code %d, stderr %q; want the file named", file, code, errs)
		}
	}
}

func TestProgressIsPlainLinesWithoutATerminal(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	p.at = p.at.Add(-10 * time.Second)
	p.show(12_345, 0.5)
	p.println("trouble")
	if got := strings.Split(b.String(), "\n"); !strings.HasPrefix(got[0], "12,345 events, 1,23") ||
		!strings.HasSuffix(got[0], "/s, 50 % of the file") || got[1] != "trouble" {
		t.Errorf("got %q", got)
	}
	if strings.ContainsAny(b.String(), "\r\x1b") {
		t.Errorf("got control characters: %q", b.String())
	}
}

func TestBarFitsTheTerminal(t *testing.T) {
	for width := range 200 {
		for _, part := range []float64{-1, 0, 0.5, 1, 1.5} {
			if got := bar(part, "12,345 events, 1,234/s", width); len(got) > width {
				t.Errorf("%d wide: %q", width, got)
			}
		}
	}
	if got, want := bar(0.5, "x", 31), "[==========          ]  50 %  x"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}
