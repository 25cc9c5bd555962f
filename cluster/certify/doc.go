// Package certify is a frontend's part in certificates: the goroutine around a
// witness.Node. It takes the rounds that the state machine makes at the seals of the log,
// saves what the node signs before it sends that to the frontends of the roster, and takes
// their notes. At the master it proposes the seals. For readers it has the newest
// certificate, and proofs of answers by it.
//
// Start reading at Certifier.Run, then Certifier.Prove.
package certify
