package frontend

import (
	"laurel/cluster"
	"laurel/httpapi"
)

// LoadForTest returns the answer to a path under /v1/ that m would load from its database.
func LoadForTest(m *cluster.Member, path string) (body []byte, err error) {
	api := httpapi.New(group{m}, httpapi.Options{})
	defer api.Close()
	q, err := api.Question(path)
	if err != nil {
		return nil, err
	}
	_, _, err = group{m}.Stale(func(v httpapi.Records) (err error) {
		body, _, err = q.Ask(v)
		return err
	})
	return body, err
}
