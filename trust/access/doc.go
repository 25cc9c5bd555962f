// Package access decides who may read, post events, and administer a group, and has the
// group's settings.
//
// The access control state is part of the replicated store: it changes by log entries, so
// that every frontend decides alike at the same position of the log, and a revocation
// holds from its entry on. [State] is that state, [State.Apply] changes it, and
// [State.Authorize] decides whether an event may be posted. A [Grant] gives a [Role] to
// the holder of a private key or of a token.
package access
