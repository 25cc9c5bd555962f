// Package boundlog bounds what a log takes of the disk. Whoever can reach a port can cause
// lines, and choose values in them: the path of a URL, the name in a request to join, the
// text of an error. So each value has a limited length, and lines of one kind come at a
// limited rate.
package boundlog

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

const (
	// MaxValue bounds a message, and each value of a line, in bytes before they are quoted.
	MaxValue = 1_000
	// MaxLines is how many lines of one kind above DEBUG are written at once, and
	// LinesPerSecond how many in the long run. Others are at DEBUG. The next line that is
	// written has their number.
	MaxLines       = 20
	LinesPerSecond = 0.1
	// maxKinds bounds the kinds that have a budget of their own. All others share one.
	maxKinds = 256
	// kindLength is how much of a message makes its kind, with as much of its reason. A
	// message of another library may be formatted, and so end in anything.
	kindLength = 24
	// reasonKey is the key of why something was refused, one of a few words: what strangers
	// cause for one reason hides no line for another.
	reasonKey = "reason"
)

// Handler passes on lines to another handler within the bounds.
type Handler struct {
	next slog.Handler
	log  *budgets // of all handlers that were made from the same
}

// New returns a Handler that writes to next.
func New(next slog.Handler) *Handler { return &Handler{next, &budgets{kinds: map[string]*budget{}}} }

// Enabled reports whether lines of a level are written.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle writes a line.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	level, repeated := r.Level, 0
	if level > slog.LevelDebug {
		var due bool
		if repeated, due = h.log.take(r); !due {
			level = slog.LevelDebug
		}
	}
	if !h.next.Enabled(ctx, level) {
		return nil
	}
	line := slog.NewRecord(r.Time, level, clip(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		line.AddAttrs(bounded(a))
		return true
	})
	if repeated > 0 {
		line.AddAttrs(slog.Int("repeated", repeated))
	}
	return h.next.Handle(ctx, line)
}

// WithAttrs returns a handler whose lines have attrs, too.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	list := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		list[i] = bounded(a)
	}
	return &Handler{h.next.WithAttrs(list), h.log}
}

// WithGroup returns a handler whose lines have their attributes in a group.
func (h *Handler) WithGroup(name string) slog.Handler { return &Handler{h.next.WithGroup(name), h.log} }

// bounded returns an attribute with bounded values.
func bounded(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		v = slog.StringValue(clip(v.String()))
	case slog.KindGroup:
		var list []slog.Attr
		for _, one := range v.Group() {
			list = append(list, bounded(one))
		}
		v = slog.GroupValue(list...)
	case slog.KindAny:
		if v.Any() != nil {
			v = slog.StringValue(clip(textOf(v.Any())))
		}
	}
	return slog.Attr{Key: a.Key, Value: v}
}

func textOf(v any) string {
	if err, ok := v.(error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%+v", v)
}

// clip returns the beginning of a long text, with the number of bytes that are left out.
func clip(s string) string {
	if len(s) <= MaxValue {
		return s
	}
	return fmt.Sprintf("%s... (%d bytes more)", strings.ToValidUTF8(s[:MaxValue], ""), len(s)-MaxValue)
}

// budgets are those of the kinds of lines.
type budgets struct {
	mu    sync.Mutex
	kinds map[string]*budget
}

type budget struct {
	lines    *rate.Limiter
	repeated int // since the last line that was written
}

// take takes a line from the budget of its kind. It reports whether the line may be
// written, and how many of its kind were not since the last one.
func (b *budgets) take(r slog.Record) (repeated int, due bool) {
	kind := kindOf(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kinds[kind]
	if k == nil && len(b.kinds) >= maxKinds {
		kind = ""
		k = b.kinds[kind]
	}
	if k == nil {
		k = &budget{lines: rate.NewLimiter(LinesPerSecond, MaxLines)}
		b.kinds[strings.Clone(kind)] = k
	}
	if !k.lines.AllowN(r.Time, 1) {
		k.repeated++
		return 0, false
	}
	repeated, k.repeated = k.repeated, 0
	return repeated, true
}

// kindOf returns the kind of a line.
func kindOf(r slog.Record) string {
	kind := r.Message[:min(len(r.Message), kindLength)]
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == reasonKey && a.Value.Kind() == slog.KindString {
			reason := a.Value.String()
			kind += "\n" + reason[:min(len(reason), kindLength)]
		}
		return a.Key != reasonKey
	})
	return kind
}
