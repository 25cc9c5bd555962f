// Package model holds certificates.pml, a model of the rules of package witness in Promela,
// and the test that lets spin search it exhaustively. The package has no code of its own.
package model
