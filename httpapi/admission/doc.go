// Package admission decides which requests a frontend takes: who may make them, how many
// each caller and each address may make, and how many are under way at once. What it
// refuses it counts by reason.
//
// A Control has the state that the ports of a frontend share. Each port has a Gate: Admit
// finds out who makes a request and whether that is permitted, Enter takes a place for
// it. AuthorizeEvents decides event by event who may post.
package admission
