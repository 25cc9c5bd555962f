package access

// CallerHeader is the header field that marks a request as one that a member forwards to
// the master, and names its caller: the member, id@instance, whose certificate the
// connection of the client had, or NoMember. Who forwards a request sets it, after the
// header fields that concern one connection only have been removed: a client names these
// itself.
//
// The master believes it only where members alone can connect. It gives no right but to
// join as that member, and to read. Operators and readers are known by the token, which is
// forwarded with the request and which the master checks itself.
const CallerHeader = "Laurel-Caller"

// NoMember is the value of CallerHeader for a caller that is not a member.
const NoMember = "-"
