package cluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// worldLog keeps log lines.
type worldLog struct {
	mu    sync.Mutex
	began time.Time
	lines []string
	count func(what string)
}

func (l *worldLog) addf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Since(l.began).Seconds()
	l.lines = append(l.lines, fmt.Sprintf("%8.3f ", at)+fmt.Sprintf(format, args...))
}

func (l *worldLog) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-n):], "\n")
}

func (l *worldLog) Write(b []byte) (int, error) {
	for what, line := range map[string]string{
		"masters":             "is the master",
		"snapshots installed": snapshotInstalledLine,
		"members that left":   "was removed from its group",
	} {
		if l.count != nil && bytes.Contains(b, []byte(line)) {
			l.count(what)
		}
	}
	l.addf("%s", strings.TrimSpace(string(b)))
	return len(b), nil
}

// worldHandler passes on the lines that an operator would see, and the line about an
// installed snapshot.
type worldHandler struct{ slog.Handler }

const snapshotInstalledLine = "Installed remote snapshot"

func (h *worldHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo && !strings.Contains(r.Message, snapshotInstalledLine) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}
