// Package model holds a model of the push protocol, push.pml, and the test that has spin search it to the end. It has no code of its own.
package model
