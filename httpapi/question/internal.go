package question

import (
	"net/url"
	"slices"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/httpapi/web"
	"laurel/score"
	"laurel/score/medal"
)

func parseKeys(_, query string) (Question, error) {
	q, err := handler.Parameters(query, "competition")
	return Keys(q.Get("competition")), err
}

// Keys asks for the keys of the records of a competition, or of all for "". It has no
// route.
func Keys(competition string) Question {
	key := "keys"
	if competition != "" {
		key = keyOf(key, url.Values{"competition": {competition}})
	}
	ask := func(v queries.View) ([]byte, uint64, error) {
		list := []string{}
		if competition != "" {
			list = append(list, cache.MedalsKey(competition))
		}
		for page, err := range contestPages(v, score.Filter{Competition: competition}) {
			if err != nil {
				return nil, 0, err
			}
			for i := range page {
				list = append(list, cache.ScoreKey(page[i].ContestID))
				if competition == "" {
					list = append(list, cache.MedalsKey(page[i].Competition))
				}
			}
		}
		slices.Sort(list)
		body, err := queries.Encode(slices.Compact(list))
		return body, v.Revision(), err
	}
	return Question{Key: key, Tag: cache.ListTag(competition), Ask: ask, Missing: func() *score.Problem {
		return score.Problemf(score.NotFound, "there are no keys")
	}}
}

// maxPageContests is how many contests the page has before its stream begins. It shows the
// first of each kind.
const maxPageContests = 3 * handler.MaxPage

func parsePage(_, _ string) (Question, error) { return Page(), nil }

// Page asks for the data of the live page, a web.Data. It has no route.
func Page() Question {
	return Question{Key: "page", Tag: cache.AnyTag, Ask: askPage, Missing: func() *score.Problem {
		return score.Problemf(score.NotFound, "there is no page")
	}}
}

func askPage(v queries.View) ([]byte, uint64, error) {
	data := web.Data{Revision: v.Revision(), Scores: []score.Record{}, Medals: []medal.Standings{}}
	for list, err := range contestPages(v, score.Filter{}) {
		if err != nil {
			return nil, 0, err
		}
		if data.Scores = append(data.Scores, list...); len(data.Scores) >= maxPageContests {
			break
		}
	}
	done := map[string]bool{}
	for i := range data.Scores {
		competition := data.Scores[i].Competition
		if done[competition] {
			continue
		}
		done[competition] = true
		table, ok, err := v.Medals(competition)
		if err != nil {
			return nil, 0, err
		}
		if ok {
			data.Medals = append(data.Medals, table.Standings())
		}
	}
	body, err := queries.Encode(data)
	return body, v.Revision(), err
}
