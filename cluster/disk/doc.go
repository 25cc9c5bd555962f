// Package disk watches the room on the disk of a member, and keeps some aside.
//
// A [Watch] measures the free room. While there is less than the member needs for what may
// be under way, it reports that it lacks room, and the master refuses posts when too many
// voters do. A [Reserve] is a file whose room the log and the database get when the disk
// is full all the same, so that a member can go on, and start again.
package disk
