package question

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/internal/textfmt"
	"laurel/score"
)

func parseStartList(id string, q url.Values) (Question, error) {
	limit, err := handler.PageSize(q)
	if err != nil {
		return Question{}, err
	}
	after, ok := score.ParsePlace(q.Get("after"))
	if !ok || len(q.Get("after")) > MaxFilter {
		return Question{}, handler.Unwanted("after", q.Get("after"), "the next of an earlier answer")
	}
	return Question{
		Key: keyOf("startlist/"+id, url.Values{"after": {after.Place()}}, limit),
		Tag: cache.TimelineTag(id),
		Ask: encoded(func(v queries.View) (any, uint64, error) {
			return found(v.StartList(id, after, limit))
		}),
		Missing: func() *score.Problem { return undefined(id) },
		Text:    textRenderer(startListText),
	}, nil
}

func startListText(b *bytes.Buffer, page *score.StartListPage) {
	fmt.Fprintf(b, "%s\n\n", textfmt.OneLine(page.ContestID))
	t := textfmt.NewTable("ORDER", "COMPETITOR", "NAME", "ORG", "CATEGORIES")
	for _, e := range page.Competitors {
		order := ""
		if e.Order != 0 {
			order = fmt.Sprint(e.Order)
		}
		t.Row(order, e.Code, e.Name, e.Organisation, strings.Join(e.Categories, ", "))
	}
	if len(page.Competitors) > 0 {
		t.DropEmpty("ORDER", "NAME", "ORG", "CATEGORIES")
	}
	t.Write(b)
	fmt.Fprintf(b, "\n%d of %d\n", len(page.Competitors), page.Total)
	handler.NextText(b, page.Next)
}
