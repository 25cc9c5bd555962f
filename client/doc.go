// Package client is how Go programs talk to Laurel: it asks for scores, posts events and watches what changes, at whichever frontend of the
// group can answer.
//
// A Client starts from one URL or several and learns the rest of the group from GET /v1/frontends, which it asks for again every few seconds beside
// its calls, and at once when something fails. One frontend is its home: the one that Options names or else, of those that serve, the one
// with the least load. Until it knows the group it asks the URLs in the order in which they were given.
//
// Calls go home first. Where that does not answer (a connection that breaks, an answer that takes too long, a 503), the call goes on at
// the frontend with the least load, and so on until its deadline; later calls stay with whoever answered, and go home when the home says
// that it serves again.
//
// A post can be tried again because it has an identity: the event's source and seq, or its id, which Post makes where there is none.
// However often it is sent, and to whichever frontend, it counts once.
//
// For more than a few events there is Stream: one connection that takes events as fast as they come and answers each when it is
// durable, and that goes on at another frontend by itself.
//
// Watch tells what there is and then every change. When its connection is lost it goes on where it ended, at another frontend, after a
// random part of the time that the frontend asked for; frontends send it home when that is back.
//
// What Laurel refuses comes back as a *score.Problem, which errors.As finds. Where no frontend could be reached at all, the
// error is an *UnreachableError. What the client does by itself it tells Options.Notify, in words for a log.
package client
