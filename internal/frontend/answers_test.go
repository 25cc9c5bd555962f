package frontend

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata/answers")

// answersDir holds the golden answers: requests, and the whole answer to each.
const answersDir = "../../testdata/answers"

// An exchange is one request, or several on one connection, and what is expected of the answers.
type exchange struct {
	title   string
	raw     string
	answers int
	until   string // for a stream that does not end: read until this has come
}

// A script is the exchanges of one golden file, sent in order.
type script struct {
	file      string
	exchanges []exchange
}

// An answerWorld is a group on the real store, reached through one of the two encoders.
type answerWorld struct {
	addr    string
	secrets *strings.Replacer
	lineage string
	lost    bool // it has no master, so it refuses with 503
}

// TestAnswersAreThoseOfTheGoldenFiles sends every script through the fast path and through
// net/http alone, each to a group of its own. A golden file has one answer where the two agree.
func TestAnswersAreThoseOfTheGoldenFiles(t *testing.T) {
	for _, kind := range []struct {
		name    string
		start   func(t *testing.T, fast bool) *answerWorld
		scripts func(w *answerWorld) []script
	}{
		{"open", startOpenWorld, func(*answerWorld) []script { return openScripts() }},
		{"pull", startPullWorld, func(*answerWorld) []script { return []script{pullScript()} }},
		{"guarded", startGuardedWorld, func(*answerWorld) []script { return guardedScripts() }},
		{"lost", startLostWorld, func(*answerWorld) []script { return []script{lostScript()} }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel() // most of the time is waiting
			fast, plain := kind.start(t, true), kind.start(t, false)
			for _, s := range kind.scripts(fast) {
				var b strings.Builder
				for _, x := range s.exchanges {
					fromFast, fromPlain := sendBoth(t, x, fast, plain)
					writeExchange(&b, x, fromFast, fromPlain)
				}
				compareGolden(t, s.file, b.String())
			}
		})
	}
}

// sendBoth sends an exchange to both worlds. A read that they answer differently is sent again: one
// of them may have lost its lease for a moment.
func sendBoth(t *testing.T, x exchange, fast, plain *answerWorld) (fromFast, fromPlain string) {
	t.Helper()
	for tries := 3; tries > 0; tries-- {
		other := make(chan string)
		go func() { other <- plain.send(t, x) }()
		fromFast, fromPlain = fast.send(t, x), <-other
		if fromFast == fromPlain || !strings.HasPrefix(x.raw, "GET") {
			break
		}
	}
	return fromFast, fromPlain
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join(answersDir, file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gotLines := strings.Split(got, "\n")
	wantLines := strings.Split(string(want), "\n")
	if slices.Equal(gotLines, wantLines) {
		return
	}
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			from := max(0, i-12)
			t.Errorf("%s line %d differs; run with -update if that is on purpose\n%s\ngot:  %s\nwant: %s",
				file, i+1, strings.Join(wantLines[from:i], "\n"), gotLines[i], wantLines[i])
			return
		}
	}
	t.Errorf("%s: got %d lines; want %d", file, len(gotLines), len(wantLines))
}

func writeExchange(b *strings.Builder, x exchange, fast, plain string) {
	fmt.Fprintf(b, "# %s\n", x.title)
	for line := range strings.Lines(shortened(x.raw)) {
		b.WriteString("> " + strings.TrimRight(line, "\r\n") + "\n")
	}
	if fast == plain {
		b.WriteString(fast)
	} else {
		b.WriteString("[fast path]\n" + fast + "[net/http]\n" + plain)
	}
	b.WriteByte('\n')
}

// shortened is a request without the bulk of a long body.
func shortened(raw string) string {
	const limit = 2000
	if len(raw) > limit {
		return fmt.Sprintf("%s... (%d bytes)\n", raw[:limit/10], len(raw))
	}
	return raw
}

// send sends an exchange and returns the answers, with what varies replaced. A read that was not
// answered from memory is asked again until it is: when memory has it is a matter of moments. So
// are the numbers of contests in a heartbeat, for which that waits for a moment only. A world that
// has a master may be without a lease when the machine has held it up, and then refuses.
func (w *answerWorld) send(t *testing.T, x exchange) string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		got := w.once(t, x)
		refused := strings.Contains(got, "HTTP/1.1 503") || strings.Contains(got, "event: unavailable")
		if (!refused || w.lost) &&
			!strings.Contains(got, "Laurel-Cache: load") && !strings.Contains(got, "Laurel-Cache: wait") &&
			!strings.Contains(got, "Laurel-Cache: forward") &&
			(x.until != "event: heartbeat" || strings.Contains(got, "sections")) || time.Now().After(deadline) {
			return got
		}
	}
}

func (w *answerWorld) once(t *testing.T, x exchange) string {
	t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	go io.WriteString(c, w.filled(x.raw)) //nolint:errcheck // an early answer ends the connection; the read tells
	var all, out bytes.Buffer
	in := bufio.NewReader(io.TeeReader(c, &all))
	method, _, _ := strings.Cut(x.raw, " ")
	for range max(1, x.answers) {
		all.Reset()
		buffered, _ := in.Peek(in.Buffered())
		all.Write(buffered)
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			fmt.Fprintf(&out, "< (%s)\n", err)
			break
		}
		head, _, _ := strings.Cut(all.String(), "\r\n\r\n")
		given := readAnswer(res.Body, x.until)
		body := w.steady(given)
		if body != given || strings.Contains(head, "x-pem-file") || strings.HasPrefix(x.raw, "HEAD /v1/frontends") {
			head = ofBody.ReplaceAllString(head, "$1: (varies)")
		}
		for line := range strings.SplitSeq(w.steady(head), "\r\n") {
			out.WriteString("< " + line + "\n")
		}
		if out.WriteString("<\n"); len(body) > 0 {
			out.WriteString(body)
			if !strings.HasSuffix(body, "\n") {
				out.WriteString("\n[no newline]\n")
			}
		}
		if res.Close {
			out.WriteString("[the connection ends]\n")
			break
		}
	}
	return out.String()
}

func readAnswer(r io.Reader, until string) string {
	if until == "" {
		b, err := io.ReadAll(r)
		if err != nil {
			return string(b) + "[" + err.Error() + "]\n"
		}
		return string(b)
	}
	var b strings.Builder
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String() + "[" + err.Error() + "]\n"
		}
		if line == "\n" && strings.Contains(b.String(), until) {
			return b.String()
		}
	}
}

// filled puts the world's tokens into a request.
func (w *answerWorld) filled(raw string) string {
	raw = w.withSigned(raw)
	for name, value := range worldTokens {
		raw = strings.ReplaceAll(raw, "{"+name+"}", value.Text())
		raw = strings.ReplaceAll(raw, "{"+name+" id}", value.ID)
	}
	return raw
}

// varying is what differs from run to run, and what stands for it in the golden files.
var varying = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`Date: [^\r\n]*`), "Date: (now)"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:(port)"},
	{regexp.MustCompile(`"(lease_ms|last_contact_ms|healthy_ms|failure_tolerance|pushed|released|epoch|watchers|reads|disk_free_bytes)":\d+`), `"$1":(n)`},
	{regexp.MustCompile(`(epoch |the loss of )\d+( voters?)?`), `${1}(n)`},
	{regexp.MustCompile(`(leased|lease_ms|healthy)":(true|false)`), `$1":(bool)`},
	{regexp.MustCompile(`(\S+) +(\S+) +127\.0\.0\.1:\(port\) +(\S+) +(\S+).*`), "$1 $2 127.0.0.1:(port) $3 $4 (n)"},
	{regexp.MustCompile(`retry: \d+`), "retry: (ms)"},
	{regexp.MustCompile(`Age: \d+`), "Age: (s)"},
	{regexp.MustCompile(`Etag: "[0-9a-z]+-([0-9a-z]+)"`), `Etag: "(board)-$1"`},
	{regexp.MustCompile(`laurel-token-1\.[A-Za-z0-9_.-]+`), "(token)"},
	{regexp.MustCompile(`laurel-join-1\.[A-Za-z0-9_.-]+`), "(join token)"},
	{regexp.MustCompile(`(?s)-----BEGIN CERTIFICATE-----.*-----END CERTIFICATE-----`), "(certificates)"},
	{regexp.MustCompile(`20\d\d-\d\d-\d\dT[0-9:.]+Z`), "(time)"},
	{regexp.MustCompile(`up to \d+ s old`), "up to (s) s old"},
	{regexp.MustCompile(`"id":"[a-z2-7]{26}"`), `"id":"(made up)"`},
	{regexp.MustCompile(`[0-9a-f]{64} *`), "(fingerprint)"},
	{regexp.MustCompile(`"signature":"[^"]*"`), `"signature":"(signature)"`},
}

// ofBody are the header fields that follow from the body.
var ofBody = regexp.MustCompile(`(Content-Length|Etag): [^\r]*`)

func (w *answerWorld) steady(s string) string {
	if strings.Contains(s, "# TYPE laurel_") {
		return strings.Join(regexp.MustCompile(`# TYPE laurel_.*\n`).FindAllString(s, -1), "")
	}
	s = w.secrets.Replace(s)
	for _, v := range varying {
		s = v.find.ReplaceAllString(s, v.put)
	}
	return s
}

// serveWorld gives the address of a frontend's fast path, or of a listener of net/http alone.
func serveWorld(t *testing.T, f *Frontend, fast bool) *answerWorld {
	t.Helper()
	w := &answerWorld{addr: f.addr, lineage: f.member.Lineage(), secrets: strings.NewReplacer(
		f.member.Incarnation(), "(store)", f.member.Lineage(), "(lineage)")}
	if fast {
		return w
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := f.api.Server(f.api.Handler())
	go s.Serve(l) //nolint:errcheck // it ends when it is closed
	t.Cleanup(func() { s.Close() })
	w.addr = l.Addr().String()
	return w
}
