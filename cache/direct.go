package cache

import "context"

// A direct answer is made for one question and not kept, because no two readers ask the
// same and it is cheap to make. It is as linearizable as one from memory. The steps, in
// this order:
//
//  1. Check the lease. At that moment all that anybody had been told was at most R, and R <= P
//     here, because no revision is released before every frontend with a lease has it.
//  2. Read P. It only grows, so it is at least all that anybody had been told at the check.
//  3. Wait until the state machine has applied P. The answer that it makes now has all that.
//  4. Take the revision r at which the answer changed last, and wait until r <= R. So the answer
//     shows nothing that a later reader elsewhere would not be shown.
//
// The answer was true at a moment not before the check, and everybody may see it. If P
// were read before the check, pushes could come in between and be released, and the lease
// be granted anew: the check would vouch for a later P than the one waited for.
//
// All steps use one session; the P of another may be less. If it ends after the check,
// what was read of it still holds: P is no less than at the check, and every later master
// has what was released. Only an answer that has to wait starts over, because an ended
// session learns of no release.

// LeaseCheck is the first step of an answer: at that moment this frontend had a lease.
type LeaseCheck struct{ session *session }

// CheckLease checks the lease. It returns false if this frontend may not answer now. It
// takes no lock and allocates nothing.
func (f *Frontend) CheckLease() (l LeaseCheck, ok bool) {
	s := f.leasedSession()
	return LeaseCheck{s}, s != nil
}

// Floor returns the revision that the state machine must have applied before the answer
// is made.
func (l LeaseCheck) Floor() uint64 {
	if l.session.mutation.has(MutationIgnoreFloor) {
		return 0
	}
	return l.session.pushed.Load()
}

// Visible reports whether an answer that last changed at revision may be given.
func (l LeaseCheck) Visible(revision uint64) bool { return l.session.visible(revision) }

// Released returns a channel that is closed when an answer that was made after the check,
// and last changed at revision, may be given. It is closed, too, when the session has
// ended: if the answer is not visible then, it must be made anew. All that wait for one
// release have one channel.
func (l LeaseCheck) Released(revision uint64) <-chan struct{} {
	if c := l.session.untilReleased(revision); c != nil {
		return c
	}
	return alreadyReleased
}

var alreadyReleased = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Await waits until the answer may be given. It returns false if the session or ctx ended
// first; then the answer must be made anew.
func (l LeaseCheck) Await(ctx context.Context, revision uint64) bool {
	select {
	case <-l.Released(revision):
		return l.Visible(revision)
	case <-ctx.Done():
		return false
	}
}

// StateMachine is what a direct answer needs to know of this frontend's state machine.
type StateMachine interface {
	// Revision returns the last revision that is applied.
	Revision() uint64
	// Await waits until a revision is applied. The error is ctx's cause.
	Await(ctx context.Context, revision uint64) error
}

// Direct makes an answer with from, and returns when it may be given. How is Wait if it
// waited for anything, else Hit. from makes the answer from the present state of machine.
// It returns the revision at which the answer, or the error in its place, changed last;
// if that is not known, the revision of the state. Direct calls it again if the session
// ends meanwhile. The error is ErrNotLeased, ctx's cause, or that of from.
func (f *Frontend) Direct(
	ctx context.Context, machine StateMachine, from func() (revision uint64, err error),
) (how string, err error) {
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
		switch {
		case l.Visible(revision):
			return how, err
		case l.Await(ctx, revision):
			return Wait, err
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		}
	}
}
