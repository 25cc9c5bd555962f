package push

import (
	"laurel/cache"
	"laurel/cache/queries"
	"laurel/fsm"
	"laurel/score"
)

// invalidate returns the records of changes that have a new value, and the keys and tags
// of all other answers that are stale now.
func invalidate(c *fsm.Changes) (records []cache.Record, stale []string) {
	pushed := map[string]bool{}
	add := func(key string, revision uint64, value any) {
		if body, err := queries.Encode(value); err == nil {
			records = append(records, cache.Record{Key: key, Revision: revision, Body: body})
			pushed[key] = true
		}
	}
	for _, contest := range c.Records {
		add(cache.ScoreKey(contest.ID), contest.Revision, contest.Record())
	}
	for _, table := range c.MedalTables {
		add(cache.MedalsKey(table.Competition), table.Revision, table.Standings())
	}
	addStale := func(key string) {
		if !pushed[key] {
			stale = append(stale, key)
		}
	}
	lists := map[string]bool{}
	for _, id := range c.Contests {
		addStale(cache.ScoreKey(id))
		stale = append(stale, cache.TimelineTag(id))
		if competition := score.CompetitionOf(id); !lists[competition] {
			lists[competition] = true
			stale = append(stale, cache.ListTag(competition))
		}
	}
	for _, competition := range c.Tables {
		addStale(cache.MedalsKey(competition))
	}
	for _, id := range c.Boards {
		stale = append(stale, cache.BoardTag(id))
	}
	return records, stale
}

// withoutValues returns a push that only names what p has values of. In a guarded store a
// frontend shows only what its own state machine made of signed events, so that a corrupt
// master cannot put a score into its cache.
func withoutValues(p *cache.Push) *cache.Push {
	named := *p
	named.Records = nil
	for i := range p.Records {
		named.Stale = append(named.Stale, p.Records[i].Key)
	}
	return &named
}
