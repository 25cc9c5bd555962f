// Package mark holds the numbers of contests: exact decimals, marks as bards report them,
// and how both are written for people.
//
// Start with [Decimal], [Measure] and [Format].
package mark
