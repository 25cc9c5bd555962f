// Package entry defines the binary format of Raft log entries and of the events in them.
//
// A frontend encodes a client's post with EncodePost as soon as it arrives. The encoded
// post is forwarded to the master as it is (ParsePost checks it there), batched with
// others into an entry by Encode, and decoded by every state machine with Decode. The
// state machine stores the events that it applied in the same form (Stored). Start
// reading at the format description in entry.go.
package entry
