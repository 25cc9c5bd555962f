package question

import (
	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/web"
	"laurel/score"
	"laurel/score/medal"
)

const (
	// nowBytes bounds the records of the answer to Now, so that a phone has them at once.
	nowBytes = 120 << 10
	// nowLines bounds the contests of each section. The page shows as many at first.
	nowLines = web.MaxLines
	// nowUsual is the largest record of which the first ones that fit are in the answer.
	// Larger ones are in it if they leave room for these.
	nowUsual = 4 << 10
	// nowTables bounds the medal tables.
	nowTables = 50
	// nowReads bounds the bytes of medal tables that are read to find those that fit.
	nowReads = 1 << 20
)

// nowShares are what the contests of each section may take of nowBytes, the sections
// before it included. What one does not need is left to the next. Medal tables get the
// rest.
var nowShares = map[score.Section]int{
	score.SectionLive: nowBytes / 2, score.SectionNext: nowBytes * 5 / 8, score.SectionFinished: nowBytes * 3 / 4,
}

// Now asks for what a page shows before anybody asks for more, a web.Data: the live
// contests, the next ones, the latest finished ones and medal tables. It has no route; the
// page and streams begin with it.
func Now() Question {
	return Question{Key: "now", Tag: cache.AnyTag, Ask: encoded(findNow)}
}

// Sections asks for the numbers of contests at a revision. It has no route; heartbeats have
// the answer.
func Sections() Question {
	type numbers struct {
		score.Sections
		Revision uint64 `json:"revision"`
	}
	return Question{Key: "sections", Tag: cache.AnyTag, Ask: encoded(func(v queries.View) (any, uint64, error) {
		o, err := v.Overview(0)
		return numbers{o.Sections, v.Revision()}, 0, err
	})}
}

func findNow(v queries.View) (any, uint64, error) {
	overview, err := v.Overview(nowTables)
	if err != nil {
		return nil, 0, err
	}
	now := web.Data{
		Revision: v.Revision(),
		Sections: overview.Sections,
		Scores:   []score.Record{},
		Medals:   []medal.Standings{},
	}
	size := 0
	for _, section := range score.AllSections {
		list, _, err := v.Contests(score.Filter{Section: section}, "", nowLines)
		if err != nil {
			return nil, 0, err
		}
		if list, size, err = fitting(list, size, nowShares[section]); err != nil {
			return nil, 0, err
		}
		now.Scores = append(now.Scores, list...)
	}
	read := 0
	for _, competition := range overview.Medals {
		if read >= nowReads {
			break
		}
		t, ok, err := v.Medals(competition)
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			continue
		}
		standings := t.Standings()
		body, err := queries.Encode(&standings)
		if err != nil {
			return nil, 0, err
		}
		if read += len(body); size+len(body) <= nowBytes {
			now.Medals, size = append(now.Medals, standings), size+len(body)
		}
	}
	return now, 0, nil
}

// fitting returns the first of some contests, as many as fit into bound bytes of which
// size are taken, and how many are taken then. A large one gets what the others leave, or
// it alone could hide all that follow it.
func fitting(list []score.Record, size, bound int) (fit []score.Record, taken int, err error) {
	sizes := make([]int, len(list))
	end := len(list) // of the contests that are not large and fit
	for i := range list {
		body, err := queries.Encode(&list[i])
		if err != nil {
			return nil, 0, err
		}
		sizes[i] = len(body)
		if sizes[i] > nowUsual {
			continue
		}
		if size+sizes[i] > bound {
			end = i
			break
		}
		size += sizes[i]
	}
	for i := range list[:end] {
		large := sizes[i] > nowUsual
		if large && size+sizes[i] > bound {
			continue
		}
		if large {
			size += sizes[i]
		}
		fit = append(fit, list[i])
	}
	return fit, size, nil
}
