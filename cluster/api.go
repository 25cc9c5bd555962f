package cluster

import (
	"context"
	"net/http"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/score"
	"laurel/score/ranking"
	"laurel/trust/access"
	"laurel/trust/pki"
	"laurel/trust/signing"
)

// This file has the methods of Member for package httpapi. Each calls the part that does the work.

// ID returns the member's id.
func (m *Member) ID() string { return m.opts.ID }

// Store returns the name of the store; "" until this member knows it.
func (m *Member) Store() string { return m.machine.Store() }

// Epoch returns the Raft term.
func (m *Member) Epoch() uint64 { return m.raft.CurrentTerm() }

// Master reports whether this member believes to be the master. Only a round of readIndex proves
// it.
func (m *Member) Master() bool { return m.elections.current() != nil }

// Post applies events, here or at the master. It returns when a majority has stored them and all
// frontends may show them. The error is a *score.Problem; with one, no event is known to be
// applied. Events are applied at most once if their post is repeated with the same identities.
func (m *Member) Post(ctx context.Context, p score.Post) ([]score.Result, error) {
	return m.posts.post(ctx, p)
}

// Forward lets the master answer a request. It waits a moment for a master if there is none. With
// an error, always a *score.Problem, nothing was written. It sends a request other than GET and
// HEAD to one master only. An answer that breaks off ends the request with http.ErrAbortHandler.
func (m *Member) Forward(w http.ResponseWriter, r *http.Request) error {
	return m.forwarder.forward(w, r)
}

// Ready returns nil if linearizable reads can be answered, here or by the master; else a
// *score.Problem.
func (m *Member) Ready(ctx context.Context) error { return m.readiness.check(ctx) }

// Leased reports whether this member may answer from memory now.
func (m *Member) Leased() bool { return m.frontend.Leased() }

// Hit returns the answer to key if this member has it in memory and may give it now; else nil. The
// answer is linearizable. Hit takes no lock and allocates nothing.
func (m *Member) Hit(key []byte) *cache.Entry { return m.frontend.Hit(key) }

// Answer returns the answer to key, from memory or made by ask from this member's own state, and
// how it came about. The answer is linearizable. The error cache.ErrNotLeased means that this
// member may not answer now, but the master may. The tag names what makes the answer stale.
func (m *Member) Answer(ctx context.Context, key, tag string, ask queries.Ask) (*cache.Entry, string, error) {
	return m.reader.answer(ctx, key, tag, ask)
}

// Board returns a page of a leaderboard, made from this member's own state, the revision of the
// last change of what the page shows, and how it came about. It is linearizable, also if the error
// is a *score.Problem. The error cache.ErrNotLeased means that this member may not answer now, but
// the master may.
func (m *Member) Board(
	ctx context.Context, contestID string, q *ranking.Query,
) (p ranking.Page, revision uint64, how string, err error) {
	return m.reader.board(ctx, contestID, q)
}

// BoardNow is Board if there is nothing to wait for. If the page must wait only for its release, ok
// is false and soon waits for that; it reports whether the page may be given then. Else, and if
// soon is nil, use Board.
func (m *Member) BoardNow(
	contestID string, q *ranking.Query,
) (p ranking.Page, revision uint64, ok bool, soon func(context.Context) bool) {
	return m.reader.boardNow(contestID, q)
}

// Stale calls f with this member's own state, whatever happened to the others. It returns for how
// long that state may have been behind; known is false if it was never known to be complete since
// the start.
func (m *Member) Stale(f func(queries.View) error) (age time.Duration, known bool, err error) {
	return m.reader.stale(f)
}

// StaleBoard is Stale for a leaderboard.
func (m *Member) StaleBoard(
	ctx context.Context, contestID string, q *ranking.Query,
) (p ranking.Page, revision uint64, age time.Duration, known bool, err error) {
	return m.reader.staleBoard(ctx, contestID, q)
}

// Pull returns the answer to key in pull mode, how it came about, and its age; see polling.Puller.
func (m *Member) Pull(ctx context.Context, key string) (e *cache.Entry, how string, age time.Duration, err error) {
	return m.puller.Pull(ctx, key)
}

// Invalidations returns what readers here may see anew. It has one consumer.
func (m *Member) Invalidations() *cache.Invalidations { return m.frontend.Invalidations() }

// CacheMode returns the mode of the group, as far as this member knows.
func (m *Member) CacheMode() score.CacheMode { return m.mode.get() }

// SetCacheMode sets the mode, and returns when the old one has ended: in pull mode no frontend has
// a lease. Only the master can; the error is a *score.Problem.
func (m *Member) SetCacheMode(ctx context.Context, mode score.CacheMode) error {
	return m.mode.set(ctx, mode)
}

// Frontends returns the group as this member sees it.
func (m *Member) Frontends() score.Frontends {
	return m.source.Frontends(m.poller.Reports, m.mode.get())
}

// Carry sets the function that returns the load of this frontend, which others see.
func (m *Member) Carry(load func() score.Load) { m.source.SetLoad(load) }

// Join adds a member, or gives one that is back its new address, or a vote. The frontend must be
// running: the master asks it for its id. Repeating it is harmless. Only the master can; the error
// is a *score.Problem.
func (m *Member) Join(ctx context.Context, n score.NewMember) error { return m.membership.join(ctx, n) }

// Leave removes a member and tells it to stop. It needs force to leave the group without a second
// copy of the data, or without a majority that answers. Only the master can; the error is a
// *score.Problem.
func (m *Member) Leave(ctx context.Context, id string, force bool) error {
	return m.membership.leave(ctx, id, force)
}

// Transfer makes another voter the master: to, or any if to is "". Only the master can; the error
// is a *score.Problem.
func (m *Member) Transfer(ctx context.Context, to string) error { return m.transfers.transfer(ctx, to) }

// Removed reports whether a server, id@instance, was a member of a secure group and is not one now,
// as far as this member knows.
func (m *Member) Removed(member string) bool { return m.auth.Removed(raft.ServerID(member)) }

// Access returns the access control, as far as this member has applied the log. The value does not
// change; call Access again for later changes.
func (m *Member) Access() *access.State { return m.machine.Access() }

// Verifier returns the verifier of signatures, for events that are about to be posted.
func (m *Member) Verifier() *signing.Verifier { return m.machine.Verifier() }

// ChangeAccess makes a change of the access control, and returns when it is committed and applied
// here. From its place in the log on, every frontend refuses what it forbids: a post that the
// master accepts after ChangeAccess has returned comes after it. What followers decide without the
// log changes when they have applied it, normally within 50 ms.
//
// Only the master can. The error is a *score.Problem: no_master at other members, the refusal of
// the state machine, or outcome_unknown; then the audit trail tells.
func (m *Member) ChangeAccess(ctx context.Context, change access.Change) error {
	return m.access.change(ctx, change)
}

// NewJoinToken makes a join token; see enroll.Issuer.
func (m *Member) NewJoinToken(ctx context.Context, by string, ttl time.Duration, uses int) (text string, err error) {
	return m.issuer.NewJoinToken(ctx, by, ttl, uses)
}

// Enroll issues the first certificate of a frontend that joins; see enroll.Issuer.
func (m *Member) Enroll(ctx context.Context, token string, csr []byte, member string) (*pki.IssuedCertificate, error) {
	return m.issuer.Enroll(ctx, token, csr, member)
}

// AuthorityPEM returns the authorities that this member trusts; see enroll.Issuer.
func (m *Member) AuthorityPEM() []byte { return m.issuer.AuthorityPEM() }

// RotateAuthority begins a rotation of the authority; see enroll.Issuer.
func (m *Member) RotateAuthority(ctx context.Context, by string) error {
	return m.issuer.RotateAuthority(ctx, by)
}

// FinishRotation ends a rotation of the authority; see enroll.Issuer.
func (m *Member) FinishRotation(ctx context.Context, by string) error {
	return m.issuer.FinishRotation(ctx, by)
}
