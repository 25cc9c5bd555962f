// Package signing signs events and verifies their signatures.
//
// A bard signs up to [eventsig.MaxTree] events at once: the events are the leaves of a
// Merkle tree as in RFC 6962, and one Ed25519 signature covers its root. The signature of
// an event holds that signature and the event's audit path, so each event can be verified
// without the others.
//
// Start with [Sign], [Form] (the bytes that are signed) and [Verifier].
package signing
