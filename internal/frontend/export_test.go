package frontend

import (
	"laurel/cache/queries"
	"laurel/cluster"
	"laurel/httpapi/question"
)

// LoadForTest returns the answer to a path under /v1/ that m would load from its database.
func LoadForTest(m *cluster.Member, path string) (body []byte, err error) {
	q, err := question.ByKey(path)
	if err != nil {
		return nil, err
	}
	_, _, err = m.Stale(func(v queries.View) (err error) {
		body, _, err = q.Ask(v)
		return err
	})
	return body, err
}
