// Package model holds push.pml, a model of the push protocol in Promela, and the test
// that lets spin search it exhaustively. go test ./... runs a quick part of the searches;
// LAUREL_CI=full runs them all. The package has no code of its own.
package model
