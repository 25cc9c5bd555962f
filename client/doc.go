// Package client is how Go programs talk to Laurel: it asks for scores and posts events, at whichever frontend of the group can answer.
//
// A Client starts from one URL or several and learns the rest of the group from GET /v1/frontends. It stays with one frontend while
// that answers, and goes to the next when it does not: a connection that breaks, an answer that takes too long, a 503.
// It goes on until the deadline of the call.
//
// A post can be tried again because it has an identity: the event's source and seq, or its id, which Post makes where there is none.
// However often it is sent, and to whichever frontend, it counts once.
//
// What Laurel refuses comes back as a *score.Problem, which errors.As finds. Where no frontend could be reached at all, the
// error is an *UnreachableError.
//
// For more than a few events there is Stream: one connection that takes events as fast as they come and answers each when it is
// durable, and that goes on at another frontend by itself.
package client
