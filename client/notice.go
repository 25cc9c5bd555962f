package client

import (
	"fmt"
	"strings"
	"time"
)

// NoticeKind is the kind of a Notice.
type NoticeKind string

// Kinds of notices.
const (
	// NoticeHome: the client has chosen Frontend as its home.
	NoticeHome NoticeKind = "chose a home"
	// NoticeFailed: an attempt at Frontend failed with Err.
	NoticeFailed NoticeKind = "attempt failed"
	// NoticeUntrusted: Frontend has a certificate that Options.TLS does not trust, for
	// the reason Err. It is sent again only after another kind of failure.
	NoticeUntrusted NoticeKind = "certificate not trusted"
	// NoticeFailover: Frontend answers the calls now instead of From.
	NoticeFailover NoticeKind = "failed over"
	// NoticeWentHome: calls, or a watch, went from From back to the home, Frontend.
	NoticeWentHome NoticeKind = "went home"
	// NoticeConnected: a watch is connected to Frontend; before it was at From, if any.
	NoticeConnected NoticeKind = "watch connected"
	// NoticeLost: a watch at Frontend has ended with Err, and reconnects after Wait.
	NoticeLost NoticeKind = "watch lost"
	// NoticeRefused: Frontend refused a watch with Err, and is not tried again for Wait.
	NoticeRefused NoticeKind = "watch refused"
	// NoticeRedirected: From, which is busy or not the home, redirected a watch to Frontend.
	NoticeRedirected NoticeKind = "watch redirected"
)

// Notice is something that a client did by itself, for a log. Fields that do not belong
// to its kind are zero.
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

// Attempt is one request of a call at one frontend, and how it ended.
type Attempt struct {
	URL      string // of the frontend that was asked
	Frontend string // the id in the response; "" if there was none
	Method   string
	Path     string
	Status   int // 0: there was no complete response
	Took     time.Duration
	Err      error // why there was no complete response
}
