package spectators

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"

	"laurel/client"
	"laurel/score"
)

// contestList is the contests among which the spectators choose. It is safe for
// concurrent use.
type contestList struct {
	competition string
	zipf        float64

	mu       sync.Mutex
	contests []string
	running  bool
}

// maxContests bounds the contests to choose from.
const maxContests = 1000

// read reads which contests are running. If none is, it takes all.
func (l *contestList) read(ctx context.Context, c *client.Client) error {
	for _, status := range []string{score.Running, ""} {
		var ids []string
		for r, err := range c.AllScores(ctx, score.Filter{Competition: l.competition, Status: status}) {
			if err != nil {
				return err
			}
			if ids = append(ids, r.ContestID); len(ids) == maxContests {
				break
			}
		}
		if len(ids) > 0 {
			l.mu.Lock()
			l.contests, l.running = ids, status != ""
			l.mu.Unlock()
			return nil
		}
	}
	if l.competition != "" {
		return fmt.Errorf("there is no contest of %s", l.competition)
	}
	return errors.New("there is no contest; post some, for example with bard sing")
}

// choose returns a random contest and its competition.
func (l *contestList) choose(random *rand.Rand) (contest, competition string) {
	l.mu.Lock()
	contests := l.contests
	l.mu.Unlock()
	i := 0
	if l.zipf > 1 {
		i = int(rand.NewZipf(random, l.zipf, 1, uint64(len(contests)-1)).Uint64())
	} else {
		i = random.IntN(len(contests))
	}
	return contests[i], score.CompetitionOf(contests[i])
}

func (l *contestList) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		return fmt.Sprintf("contests running: %d", len(l.contests))
	}
	return fmt.Sprintf("contests: %d, none of them running", len(l.contests))
}

// revisionOf finds the revision in the JSON of a contest. Decoding the rest would cost
// too much for thousands of spectators in one process.
func revisionOf(body []byte) (uint64, bool) {
	name := []byte(`"revision":`)
	i := bytes.LastIndex(body, name)
	if i < 0 {
		return 0, false
	}
	rest := body[i+len(name):]
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return 0, false
	}
	r, err := strconv.ParseUint(string(bytes.TrimSpace(rest[:end])), 10, 64)
	return r, err == nil
}

func isNotFound(err error) bool {
	var p *score.Problem
	return errors.As(err, &p) && p.Code == score.NotFound
}
