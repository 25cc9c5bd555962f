// Package hclogger lets libraries of HashiCorp, which log with hclog, log to log/slog.
package hclogger

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// New returns a logger for hashicorp/raft and raft-wal that writes to log.
func New(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Debug})
	l.RegisterSink(sink{log})
	return l
}

type sink struct{ log *slog.Logger }

// Accept writes one line. Raft logs every vote and every failed heartbeat, so each level
// is lowered: only what an operator may have to act on stays above debug.
func (s sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Warn:
		to = slog.LevelInfo
	case hclog.Error:
		to = slog.LevelWarn
	}
	if !s.log.Enabled(context.Background(), to) {
		return
	}
	s.log.Log(context.Background(), to, "raft: "+msg, args...)
}
