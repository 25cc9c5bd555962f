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

// programme is what there is to see now. It is safe for concurrent use.
type programme struct {
	competition string
	zipf        float64

	mu       sync.Mutex
	contests []string
	running  bool
}

// most bounds the contests that the spectators choose from.
const most = 1000

// read looks up which contests are running; where none is, all are as good.
func (p *programme) read(ctx context.Context, c *client.Client) error {
	for _, status := range []string{score.Running, ""} {
		var ids []string
		for r, err := range c.AllScores(ctx, score.Filter{Competition: p.competition, Status: status}) {
			if err != nil {
				return err
			}
			if ids = append(ids, r.ContestID); len(ids) == most {
				break
			}
		}
		if len(ids) > 0 {
			p.mu.Lock()
			p.contests, p.running = ids, status != ""
			p.mu.Unlock()
			return nil
		}
	}
	if p.competition != "" {
		return fmt.Errorf("there is no contest of %s to see", p.competition)
	}
	return errors.New("there is no contest to see; bard sing brings some")
}

// choose chooses a contest, and its competition.
func (p *programme) choose(chance *rand.Rand) (contest, competition string) {
	p.mu.Lock()
	contests := p.contests
	p.mu.Unlock()
	i := 0
	if p.zipf > 1 {
		i = int(rand.NewZipf(chance, p.zipf, 1, uint64(len(contests)-1)).Uint64())
	} else {
		i = chance.IntN(len(contests))
	}
	return contests[i], score.CompetitionOf(contests[i])
}

func (p *programme) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return fmt.Sprintf("contests running: %d", len(p.contests))
	}
	return fmt.Sprintf("contests: %d, none of them running", len(p.contests))
}

// revisionOf finds the revision of a contest's JSON without reading the rest of it, which thousands of spectators in one process cannot afford.
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
