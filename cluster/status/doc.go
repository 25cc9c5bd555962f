// Package status is what the members of a group know of each other.
//
// Each member serves a [Status] of itself, made by a [Source], and polls that of the
// others with a [Poller], which stores it in [Reports]. A [Roster] is the newest
// committed configuration that the member has applied. From these a [RemovalCheck]
// decides whether the member was removed from its group.
package status
