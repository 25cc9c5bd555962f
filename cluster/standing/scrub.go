package standing

import (
	"context"
	"fmt"
	"time"
)

// scrubTime is the time in which all answers are compared with the newest round, and
// scrubEvery how often some are, at a time scale of 1.
const (
	scrubTime  = 2 * time.Minute
	scrubEvery = time.Second
)

// Scrub compares all answers of the state with those of the newest round, again and again.
// An answer that is not sealed anew does not show otherwise that its record has changed in
// memory or on the disk. It returns when ctx ends, or when it has found one: this frontend
// goes back then.
func (e *Enforcer) Scrub(ctx context.Context) {
	tick := time.NewTicker(e.Scale(scrubEvery))
	defer tick.Stop()
	for next := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for checked, most := uint64(0), uint64(1); checked < most; checked++ {
			answers, wrong, err := e.Machine.CheckAnswer(next)
			switch {
			case err != nil:
				e.Fail(err)
				return
			case wrong != "":
				e.damaged(wrong)
				return
			}
			most = answers/uint64(scrubTime/scrubEvery) + 1
			if next++; next >= answers {
				next = 0
				break
			}
		}
	}
}

// damaged ends this frontend, whose state is not what it has certified.
func (e *Enforcer) damaged(key string) {
	reason := fmt.Sprintf("its answer to %s is not the one of the newest round, although nothing has changed it", key)
	if e.Cosigned().Size == 0 {
		e.Logger.Error("the state of this frontend is damaged, and no round was certified yet to go back to",
			"err", reason)
		return
	}
	e.End(e.leave(reason, true))
}
