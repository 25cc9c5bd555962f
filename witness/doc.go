// Package witness makes and verifies certificates: what a quorum of frontends says of the
// answers of a store, so that readers need not trust any one of them. With four frontends a
// quorum is three, and one may be corrupt in any way, be it the master.
//
// The package is pure logic: rounds, messages and the time come in, messages and what must
// be saved come out. Start with [Node], one frontend's part, and [Reader], who verifies.
// [Policy] says whom a reader believes. [Answers] and [Round] are what is certified,
// [Proof] is what a reader is given.
//
// # Rounds
//
// The master puts a seal into the log, at most half a second after the first change. At a seal
// each frontend makes the same round: the root of a Merkle tree over all answers, and one
// over all events so far. The round is the next leaf in an append-only tree of rounds, whose
// head stands for all rounds up to it. A frontend signs two kinds of statements about a
// head: a report says "my history has this head", and a cosignature says "a quorum has
// reported this head". A quorum of reports of one head is its proof. A quorum of
// cosignatures is its certificate.
//
// # Rules
//
// An honest frontend keeps these rules, whatever others say and whatever the master does:
//
//   - R1: it reports each size at most once, and only rising ones.
//   - R2: it reports only a history that has the head which it has cosigned last.
//   - R3: it cosigns only a head whose proof it has seen, which is its own last report, and
//     which its history still has.
//   - R4: what it has cosigned it leaves only for a history that has a higher proven head.
//   - R5: it signs a new time only for the largest head cosigned.
//   - R6: it signs no time by which anything applied after that head had waited longer than
//     two seal intervals.
//
// Reports and cosignatures are saved before they are sent ([Output]). A key whose state is
// lost must never sign again.
//
// Two certificates never disagree. If a head is certified, two of the three honest frontends
// have cosigned it. A proof of a higher head that contradicts it needs the report of one of
// those two, which R2 and R4 allow only after an earlier such proof. So there is no first
// one. The models in the directory model search this exhaustively, and the simulation in the
// tests runs it with a frontend that says anything to anybody.
//
// A certificate has the times of its cosignatures. Whoever accepts the head k as of T has
// every round that was certified before T: the certificate of a larger head shares an honest
// frontend with that of k, which signs no time for k any more (R5). If a master does not
// seal, or gives no three frontends the same, times stop (R6), and readers refuse what they
// cannot see as fresh.
//
// One report is under way at a time. The next one is of the newest round, when the last is
// proven or has waited for two intervals. A frontend that has waited for one interval joins
// the size that another has reported. So frontends that are slow stretch the rounds, and
// come together again. No report is far ahead of all others, so that a corrupt master
// cannot lead one frontend to sizes which the others reach much later.
//
// A master seals when something has changed. It also seals when its newest round cannot be
// certified, or is not for two intervals, because some frontend has reported that size with
// a history that it has left ([Node.WantsSeal]).
//
// # Going back
//
// A frontend leaves its history if a quorum has proven another one, or if so many reports of
// one size differ that none can be proven ([Node.GoBack]). It also leaves it if the last reports
// of two others of four contradict it for ten seconds: one of them is honest, and may not come to
// this history by itself. It goes back to the head that it has cosigned last, and replays the
// log. It does so once for each size: if the history comes out the same, there may be no other
// one, because those who reported it have left it too. It is not bound by a proof of what it has
// not cosigned.
//
// It leaves everything if a quorum with its own history has reported another [Digest] of the
// whole state: what no round covers has changed where it is kept ([Node.Altered]).
package witness
