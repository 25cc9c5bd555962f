// Package client is the Go client of Laurel. It requests scores, posts events and watches
// changes, at whichever frontend of the group can answer.
//
// A Client starts with one URL or several, and learns the other frontends from them. One
// frontend is its home: the one that Options names or, without one, a serving frontend
// with the least load. Calls go to the home. If that fails, the call goes on to the
// frontend with the least load, and so on until its deadline. Later calls stay at the
// frontend that answered, and return to the home when that reports that it serves again.
//
// Posts are safe to repeat, because every event has an identity: its source and seq, or
// its id, which Post sets if there is none. However often an event is sent, and to
// whichever frontend, it counts once. Stream posts many events over one connection. Watch
// returns what is there and then every change, and continues at another frontend where
// the last one ended.
//
// An error that Laurel reports is a *score.Problem, which errors.As finds. If no frontend
// could be reached, the error is an *UnreachableError. Start reading at Client.
package client
