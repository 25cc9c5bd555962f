package client

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// NoticeKind is what kind of thing a client did.
type NoticeKind string

// Kinds of notices.
const (
	// NoticeHome: the client has chosen Frontend as its home.
	NoticeHome NoticeKind = "chose a home"
	// NoticeFailed: an attempt at Frontend came to nothing, for Err; the next may be at another.
	NoticeFailed NoticeKind = "attempt failed"
	// NoticeUntrusted: Frontend shows a certificate that Options.TLS does not trust, for Err, so the client does without it. Of each frontend it is told
	// once, and again only after it has failed otherwise.
	NoticeUntrusted NoticeKind = "certificate not trusted"
	// NoticeFailover: calls are answered by Frontend now, no longer by From.
	NoticeFailover NoticeKind = "failed over"
	// NoticeWentHome: calls, or a watch, are with the home again: Frontend; before that, with From.
	NoticeWentHome NoticeKind = "went home"
	// NoticeConnected: a watch has begun, or goes on, at Frontend; From is where it was before, "" at its beginning.
	NoticeConnected NoticeKind = "watch connected"
	// NoticeLost: the stream of a watch has ended at Frontend, for Err; it tries again after Wait.
	NoticeLost NoticeKind = "watch lost"
	// NoticeRefused: Frontend takes no watch now, for Err, and wants to be left alone for Wait.
	NoticeRefused NoticeKind = "watch refused"
	// NoticeSent: From has sent a watch on to Frontend, because it is busy or because Frontend is the watch's home.
	NoticeRedirected NoticeKind = "watch sent on"
)

// Notice is one thing that a client did by itself, for a log. Members that do not belong to its kind are zero.
type Notice struct {
	Kind     NoticeKind
	Frontend string // URL
	From     string // URL
	Err      error
	Wait     time.Duration
}

func (n Notice) String() string {
	var b strings.Builder
	b.WriteString(string(n.Kind))
	if n.Frontend != "" {
		b.WriteString(": " + n.Frontend)
	}
	if n.From != "" {
		b.WriteString(", from " + n.From)
	}
	if n.Wait > 0 {
		fmt.Fprintf(&b, ", again in %s", n.Wait.Round(time.Millisecond))
	}
	if n.Err != nil {
		fmt.Fprintf(&b, ": %v", n.Err)
	}
	return b.String()
}

// LogValue gives a structured log the members that say something.
func (n Notice) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("kind", string(n.Kind))}
	if n.Frontend != "" {
		attrs = append(attrs, slog.String("frontend", n.Frontend))
	}
	if n.From != "" {
		attrs = append(attrs, slog.String("from", n.From))
	}
	if n.Wait > 0 {
		attrs = append(attrs, slog.Duration("wait", n.Wait))
	}
	if n.Err != nil {
		attrs = append(attrs, slog.String("error", n.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

// Attempt is one request of a call at one frontend, and how it ended.
type Attempt struct {
	URL      string // of the frontend that was asked
	Frontend string // the id of the frontend that answered, as it says itself; "" where it does not
	Method   string
	Path     string
	Status   int // 0: there was no whole answer
	Took     time.Duration
	Err      error // why there was no whole answer
}
