// Package ranking orders the marks at one split of a ranked contest. It gives exact ranks
// with ties, pages and the neighbours of a competitor, each in logarithmic time.
//
// Start with [Mark] and [Board], whose pages are a [Leaderboard]. The package is pure, and
// none of its types is safe for concurrent use.
package ranking
