// Package ranking orders the marks of one split of a ranked contest: exact ranks with ties, pages, and the neighbours of a competitor, each in
// a time that grows with the logarithm of their number. It is pure and knows no store; nothing in it is safe for concurrent use.
package ranking
