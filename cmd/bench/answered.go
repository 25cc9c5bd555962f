package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ways is how many reads were answered, by how.
type ways map[string]int

// String names the commonest way first, and leaves out those that there were not.
func (w ways) String() string {
	keys := slices.SortedFunc(maps.Keys(w), func(a, b string) int {
		if w[a] != w[b] {
			return w[b] - w[a]
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, k := range keys {
		if w[k] != 0 {
			parts = append(parts, k+" "+thousands(float64(w[k])))
		}
	}
	return strings.Join(parts, ", ")
}

// add adds so many times what o has.
func (w ways) add(o ways, times int) {
	for k, n := range o {
		w[k] += n * times
	}
}

// waysOf is what a frontend says of all its reads.
func waysOf(ctx context.Context, url string) (ways, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return nil, err
	}
	w, err := parseWays(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s/metrics: %w", url, err)
	}
	return w, nil
}

// parseWays reads a page of metrics.
func parseWays(text string) (ways, error) {
	w := ways{}
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(strings.TrimSpace(line), `laurel_reads_total{answered="`)
		way, value, whole := strings.Cut(rest, `"} `)
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if !whole || err != nil {
			return nil, fmt.Errorf("%q: want how many reads there were", strings.TrimSpace(line))
		}
		w[way] = int(n)
	}
	if len(w) == 0 {
		return nil, fmt.Errorf("no laurel_reads_total")
	}
	return w, nil
}
