package fsm

import (
	"fmt"
	"strings"
	"testing"

	"laurel/fsm/view"
	"laurel/score"
)

func TestAPageOfAListIsBoundedInBytes(t *testing.T) {
	m := newMachine(t)
	var competitors []string
	for i := range 500 {
		competitors = append(competitors, fmt.Sprintf(`{"code":"%d","name":"%s"}`, i, strings.Repeat("x", 100)))
	}
	const contests, events = 60, 2500
	for i := range contests {
		mustApply(t, m, `{"type":"contest.define","contest_id":"G/%03d","data":{"kind":"ranked","sport":"chess",`+
			`"sort":"asc","result_type":"TIME","competitors":[%s]}}`, i, strings.Join(competitors, ","))
	}
	for range events {
		mustApply(t, m, `{"type":"alert","contest_id":"G/000","data":{"text":"%s"}}`, strings.Repeat("x", 1000))
	}
	err := m.View(func(v *view.View) error {
		pages, after := 0, ""
		var ids []string
		for {
			list, next, err := v.Contests(score.Filter{}, after, 1000)
			if err != nil {
				return err
			}
			for _, r := range list {
				ids = append(ids, r.ContestID)
			}
			if pages++; next == "" {
				break
			}
			after = next
		}
		if pages < 2 || len(ids) != contests || ids[0] != "G/000" || ids[contests-1] != "G/059" {
			t.Errorf("%d pages have %d contests; want all of %d, in several", pages, len(ids), contests)
		}
		pages, got, last := 0, 0, uint64(0)
		for {
			list, next, err := v.Timeline("G/000", last, 1_000_000)
			if err != nil {
				return err
			}
			size := 0
			for _, e := range list {
				if e.Revision <= last {
					t.Fatalf("revision %d comes after %d", e.Revision, last)
				}
				last = e.Revision
				size += len(e.Data)
			}
			if size > 2<<20+score.MaxEventBytes {
				t.Errorf("a page has %d bytes", size)
			}
			got += len(list)
			if pages++; next == 0 {
				break
			}
		}
		if pages < 2 || got != events+1 {
			t.Errorf("%d pages have %d events; want all of %d, in several", pages, got, events+1)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
