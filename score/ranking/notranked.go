package ranking

import (
	"fmt"

	"laurel/score"
)

// NotRankedError reports that a contest has no leaderboard because it is not ranked. It
// unwraps to a *score.Problem.
type NotRankedError struct {
	ContestID string
	Kind      string // of the contest
}

// Reason returns a sentence for a client.
func (e *NotRankedError) Reason() string {
	return fmt.Sprintf("the contest %q is %s and has no leaderboard", e.ContestID, e.Kind)
}

func (e *NotRankedError) Error() string { return e.Unwrap().Error() }

// Unwrap returns the problem for a client.
func (e *NotRankedError) Unwrap() error { return score.Problemf(score.NotFound, "%s", e.Reason()) }
