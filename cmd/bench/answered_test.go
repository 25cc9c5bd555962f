package main

import "testing"

func TestHowReadsWereAnsweredIsReadFromTheMetrics(t *testing.T) {
	const page = "# TYPE laurel_reads_total counter\nlaurel_reads_total{answered=\"hit\"} 1.234567e+06\nlaurel_reads_total{answered=\"wait\"} 12\n" +
		"laurel_reads_total{answered=\"stale\"} 0\nlaurel_revision 7\n"
	w, err := parseWays(page)
	if err != nil || w.String() != "hit 1,234,567, wait 12" {
		t.Errorf("%v, %v", w, err)
	}
	w.add(ways{"hit": 1_234_000, "wait": 12}, -1)
	if w.String() != "hit 567" {
		t.Error(w)
	}
	for _, page := range []string{"", "laurel_revision 7\n", `laurel_reads_total{answered="hit"} many`, `laurel_reads_total{answered="hit`} {
		if w, err := parseWays(page); err == nil {
			t.Errorf("%q: %v", page, w)
		}
	}
}
