package cache

import "context"

// A direct answer is made for one question and not kept: no two ask the same, and it is cheap to make. It is as linearizable as one from memory.
// What is done, in this order:
//
//  1. The lease is looked at. At that moment everything that anybody had been told of was at most R, and R <= P here, because no revision is
//     released before each frontend that may hold a lease has it.
//  2. P is read. It only grows, so it still is at least all that anybody had been told at the moment of the look.
//  3. The state machine here has applied at least P. So the answer that it makes now has all that, whatever else it has.
//  4. The answer says at which revision r it changed last; it is given when r <= R. So it shows nobody what a reader elsewhere, who asks after it,
//     would not be shown. What the state machine has beyond R does not matter, for it changed nothing of this answer.
//
// The answer therefore was true at a moment not before the look, and everybody may see it. Were P read before the look, pushes could come in
// between and be released, for the lease would be good again or still: the look would speak of a later P than the one that is waited for.
//
// All of it is about one session, found once. If that ends after the look, what was read of it holds: its P is not less than at the look, and what its R
// released every later master has, for it was committed. So an answer that can be given is given; only one that has to wait begins anew, as nobody
// tells an ended session of a release. Another session is never mixed in: its P may be less, and speaks of another lease.

// LeaseCheck is the beginning of a direct answer: there was a lease.
type LeaseCheck struct{ session *session }

// LeaseCheck looks at the lease. False: this frontend may not answer now. It takes no lock and allocates nothing.
func (f *Frontend) CheckLease() (l LeaseCheck, ok bool) {
	s := f.session.Load()
	return LeaseCheck{s}, s != nil && s.leased(f.clock())
}

// Floor is what the state machine here must have applied before the answer is made.
func (l LeaseCheck) Floor() uint64 {
	if l.session.rules.has(MutationIgnoreFloor) {
		return 0
	}
	return l.session.pushed.Load()
}

// Shows tells whether an answer that last changed at a revision may be given.
func (l LeaseCheck) Visible(revision uint64) bool { return l.session.visible(revision) }

// Await waits until an answer that was made after the look, and last changed at a revision, may be given. False: the session ended first, or ctx, and it
// has to be made anew.
func (l LeaseCheck) Await(ctx context.Context, revision uint64) bool {
	_, err := l.await(ctx, revision)
	return err == nil && l.Visible(revision)
}

// over tells whether the session has ended.
func (l LeaseCheck) over() bool { return l.session.ctx.Err() != nil }

// StateMachine is how far a state machine is.
type StateMachine interface {
	Revision() uint64
	// Await waits until a revision is applied. The error is ctx's cause.
	Await(ctx context.Context, revision uint64) error
}

// Fresh has a direct answer made, and returns when it may be given, and whether it waited for anything: Hit or Wait. From makes it from a state machine as
// it is then, and tells at which revision the answer, or the error in its place, changed last; that is the state's own where nobody knows. It is called again
// if the session ends meanwhile. The error is ErrNotLeased, ctx's cause, or from's, which is as true as an answer.
func (f *Frontend) Direct(ctx context.Context, machine StateMachine, from func() (revision uint64, err error)) (how string, err error) {
	for how = Hit; ; how = Wait {
		l, ok := f.CheckLease()
		if !ok {
			return "", ErrNotLeased
		}
		if floor := l.Floor(); machine.Revision() < floor {
			how = Wait
			if err := machine.Await(ctx, floor); err != nil {
				return "", err
			}
		}
		revision, err := from()
		waited, cause := l.await(ctx, revision)
		switch {
		case cause != nil:
			return "", cause
		case l.Visible(revision) && waited:
			return Wait, err
		case l.Visible(revision):
			return how, err
		}
	}
}

// await waits until a revision may be shown, or the session is over.
func (l LeaseCheck) await(ctx context.Context, revision uint64) (waited bool, err error) {
	for next := l.session.next(revision); next != nil && !l.over(); next = l.session.next(revision) {
		waited = true
		select {
		case <-next:
		case <-l.session.ctx.Done():
		case <-ctx.Done():
			return true, context.Cause(ctx)
		}
	}
	return waited, nil
}
