package boundlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newLog returns a logger within the bounds, and what it has written.
func newLog(level slog.Level) (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level}))), &b
}

type long string

func (l long) String() string { return string(l) }

func TestNoValueOfALineIsLong(t *testing.T) {
	const size = 4 << 20
	text := strings.Repeat("x", size)
	for name, line := range map[string]func(*slog.Logger){
		"message":     func(l *slog.Logger) { l.Warn(text) },
		"string":      func(l *slog.Logger) { l.Warn("refused", "member", text) },
		"error":       func(l *slog.Logger) { l.Warn("refused", "err", fmt.Errorf("wrapped: %w", errors.New(text))) },
		"bytes":       func(l *slog.Logger) { l.Warn("refused", "body", []byte(text)) },
		"strings":     func(l *slog.Logger) { l.Warn("refused", "hosts", []string{text, text}) },
		"Stringer":    func(l *slog.Logger) { l.Warn("refused", "remote", long(text)) },
		"attribute":   func(l *slog.Logger) { l.With("member", text).Warn("refused") },
		"group":       func(l *slog.Logger) { l.Warn("refused", slog.Group("of", slog.Group("a", "member", text))) },
		"with group":  func(l *slog.Logger) { l.WithGroup("of").Warn("refused", "member", text) },
		"LogValuer":   func(l *slog.Logger) { l.Warn("refused", "member", valuer(text)) },
		"debug":       func(l *slog.Logger) { l.Debug("request", "path", text) },
		"from log":    func(l *slog.Logger) { slog.NewLogLogger(l.Handler(), slog.LevelWarn).Print(text) },
		"quoted":      func(l *slog.Logger) { l.Warn("refused", "member", strings.Repeat("\x01", size)) },
		"half a rune": func(l *slog.Logger) { l.Warn("refused", "member", strings.Repeat("€", size/3)) },
	} {
		log, written := newLog(slog.LevelDebug)
		line(log)
		if n := written.Len(); n == 0 || n > 6*MaxValue || strings.Count(written.String(), "\n") != 1 {
			t.Errorf("%s: %d bytes are written: %.200s", name, n, written)
		}
		if !strings.Contains(written.String(), "bytes more") || strings.Contains(written.String(), `\xe2`) {
			t.Errorf("%s: %s", name, written)
		}
	}
	log, written := newLog(slog.LevelInfo)
	log.Info("a frontend does not answer", "member", "f2", "err", errors.New("refused"), "since", time.Second, "n", 3, "none", nil)
	for _, want := range []string{`msg="a frontend does not answer"`, "member=f2", "err=refused", "since=1s", "n=3", "none=<nil>"} {
		if !strings.Contains(written.String(), want) {
			t.Errorf("%q is missing in %s", want, written)
		}
	}
}

type valuer string

func (v valuer) LogValue() slog.Value { return slog.StringValue(string(v)) }

func TestLinesOfOneKindComeAtALimitedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, written := newLog(slog.LevelInfo)
		lines := func() int { return strings.Count(written.String(), "\n") }
		// Within an hour a stranger causes a line each millisecond, through one logger or
		// another.
		for i := range 3600 {
			for range 10 {
				log.With("member", i).Warn("join rejected: invalid token")
			}
			time.Sleep(time.Second)
		}
		if n, most := lines(), MaxLines+3600/10+1; n < MaxLines || n > most {
			t.Errorf("%d lines are written within an hour; want at most %d", n, most)
		}
		if !strings.Contains(written.String(), "repeated=99") {
			t.Errorf("the number of lines that were not written is missing:\n%.3000s", written)
		}
		before := lines()
		log.Error("the disk may become full") // a line of another kind
		if lines() != before+1 {
			t.Error("the flood of one kind suppresses another")
		}
	})
}

func TestAFloodForOneReasonHidesNoLineForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, written := newLog(slog.LevelInfo)
		for range 1000 {
			log.Warn("refused a connection between members", "remote", "192.0.2.1:1", "reason", "handshake")
		}
		log.Warn("refused a connection between members", "remote", "192.0.2.2:1", "reason", "removed")
		if text := written.String(); strings.Count(text, "reason=handshake") > MaxLines+1 || !strings.Contains(text, "reason=removed") {
			t.Errorf("written are\n%s", text)
		}
	})
}

func TestLinesWithoutNumberOfKindsShareABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, written := newLog(slog.LevelInfo)
		for i := range 100_000 {
			log.Warn(fmt.Sprintf("%024d", i))
			log.Warn("refused", "reason", fmt.Sprint(i))
		}
		if n, most := strings.Count(written.String(), "\n"), maxKinds+MaxLines; n > most {
			t.Errorf("%d lines are written; want at most %d", n, most)
		}
	})
}

func TestAtDebugEveryLineIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, written := newLog(slog.LevelDebug)
		const many = 10 * MaxLines
		for range many {
			log.Debug("request")
			log.Warn("join rejected: invalid token")
		}
		if n := strings.Count(written.String(), "\n"); n != 2*many {
			t.Errorf("%d of %d lines are written", n, 2*many)
		}
		if n := strings.Count(written.String(), "level=WARN"); n != MaxLines {
			t.Errorf("%d lines are warnings; want %d", n, MaxLines)
		}
		if New(slog.NewTextHandler(written, nil)).Enabled(context.Background(), slog.LevelDebug) {
			t.Error("a level that is off is enabled")
		}
	})
}
