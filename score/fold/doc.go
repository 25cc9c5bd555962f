// Package fold holds the rules of contests: what the events of a contest, in order, make of
// it.
//
// Start with [Contest], [Contest.Fold] (what an event does to a contest), and
// [Contest.Record] (what readers see). The marks of a ranked contest, of which there can be
// a million, are kept by the caller: see [Marks].
package fold
