// Package leaderboard keeps the leaderboards of ranked contests in memory.
//
// A leaderboard holds the marks at one split of one contest, in order. It is built from
// the database when it is first asked for, and from then on updated with every applied
// batch. Boards limits the number of rows in memory and drops the least recently used
// leaderboards. Leaderboards are only read: applying or refusing an event never depends
// on them. Start reading at Boards.
package leaderboard
