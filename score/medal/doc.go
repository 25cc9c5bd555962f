// Package medal counts medals. A [Table] is the state of one competition, which
// medal.award and medal.revoke events change; [Standings] is what readers see. Like
// package score it is pure.
package medal
