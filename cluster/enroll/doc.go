// Package enroll gives the members of a secure group their certificates.
//
// A frontend that joins gets its first certificate from the master for a join token. A
// member renews its certificate when two thirds of its life are over, or when the group
// has another authority. Every voter holds the key of the authority, because each may
// become the master.
//
// A voter may also have the master make a new operator, for the person at its machine.
//
// An [Issuer] is the master's side: it makes join tokens and operators, issues
// certificates and rotates the authority. A [Renewer] is the side of each member: it keeps
// the member's certificate and keys up to date.
package enroll
