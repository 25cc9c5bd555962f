// Package hclogger lets libraries of HashiCorp, which log with hclog, log to log/slog.
package hclogger

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	// summaryPause is the shortest time between two lines of one kind above DEBUG. Raft
	// repeats the same failure many times a second while a member is down.
	summaryPause = 10 * time.Minute
	// maxKinds bounds the kinds that are remembered. A kind has the name of another member,
	// which may be any.
	maxKinds = 256
)

// New returns a logger for hashicorp/raft and raft-wal that writes to log. While quiet,
// which may be nil, returns true, all lines are at DEBUG.
func New(log *slog.Logger, quiet func() bool) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Debug})
	l.RegisterSink(&sink{log: log, quiet: quiet, kinds: map[string]*kind{}})
	return l
}

type sink struct {
	log   *slog.Logger
	quiet func() bool

	mu    sync.Mutex
	kinds map[string]*kind
}

// kind is what is known of lines with one message about one member.
type kind struct {
	logged   time.Time // when the last one was logged above DEBUG
	repeated int       // lines since then
}

// Accept writes one line. Raft logs every vote and every failed heartbeat, so each level is
// lowered: only what an operator may have to act on stays above debug, and of each kind of
// line one in a while. The others are at DEBUG.
func (s *sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := levelOf(level, msg, args)
	if to > slog.LevelDebug && s.quiet != nil && s.quiet() {
		to = slog.LevelDebug
	}
	if to > slog.LevelDebug {
		repeated, due := s.note(msg + " " + member(args))
		switch {
		case !due:
			to = slog.LevelDebug
		case repeated > 0:
			args = append(args[:len(args):len(args)], "repeated", repeated)
		}
	}
	if !s.log.Enabled(context.Background(), to) {
		return
	}
	s.log.Log(context.Background(), to, "raft: "+msg, args...)
}

// levelOf returns the level of a line. A failure to reach another member is no warning: the
// member logs itself which others do not answer.
func levelOf(level hclog.Level, msg string, args []any) slog.Level {
	switch {
	case level < hclog.Warn:
		return slog.LevelDebug
	case level == hclog.Warn || member(args) != "" || connectionLost[msg]:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// connectionLost has Raft's errors about a connection that another member opened.
var connectionLost = map[string]bool{
	"failed to decode incoming command": true,
	"failed to flush response":          true,
}

// member returns the member that a line is about, as Raft names it; "" for none.
func member(args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "target", "server-id", "from", "candidate":
			return fmt.Sprint(args[i+1])
		}
	}
	return ""
}

// note counts a line of a kind, and reports whether it is time to log one. repeated is the
// number of lines since the last that was logged.
func (s *sink) note(name string) (repeated int, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	k := s.kinds[name]
	switch {
	case k == nil && len(s.kinds) == maxKinds:
		clear(s.kinds)
		fallthrough
	case k == nil:
		s.kinds[name] = &kind{logged: now}
		return 0, true
	case now.Sub(k.logged) < summaryPause:
		k.repeated++
		return 0, false
	}
	repeated, k.repeated, k.logged = k.repeated, 0, now
	return repeated, true
}
