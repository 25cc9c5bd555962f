package load

import (
	"cmp"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// marathonSplits are the points at which runners get marks, with their share of the way.
var marathonSplits = []struct {
	name string
	at   float64
}{
	{"5k", .1185}, {"10k", .237}, {"15k", .3555}, {"20k", .474}, {"half", .5},
	{"25k", .5925}, {"30k", .711}, {"40k", .948}, {"finish", 1},
}

// Marathon returns the events of a marathon, one in each line: its definition, its start,
// and a mark of each runner at each split, in the order of time. It is always the same.
func Marathon(runners int) []byte {
	type passing struct {
		runner, split int
		mark          time.Duration
	}
	random := mathrand.New(mathrand.NewPCG(42, 195))
	passings := make([]passing, 0, runners*len(marathonSplits))
	for r := range runners {
		took := min(max(4+0.75*random.NormFloat64(), 2.05), 7) * float64(time.Hour)
		for i, s := range marathonSplits {
			mark := time.Duration(took * s.at * (0.95 + 0.05*s.at)) // everybody gets slower
			passings = append(passings, passing{r, i, mark.Round(10 * time.Millisecond)})
		}
	}
	slices.SortFunc(passings, func(a, b passing) int {
		return cmp.Or(cmp.Compare(a.mark, b.mark), cmp.Compare(a.runner, b.runner), cmp.Compare(a.split, b.split))
	})

	start := time.Date(2013, 4, 15, 13, 17, 0, 0, time.UTC)
	h := newHeader("marathon", 1, "BENCH-MARATHON/OPEN", start)
	dst := append(h.appendHead(nil, "contest.define"), `{"kind":"ranked","sport":"athletics","title":"Marathon",`+
		`"result_type":"TIME","sort":"asc","unit":"min","splits":[`...)
	for i, s := range marathonSplits {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendQuote(dst, s.name)
	}
	dst = append(h.appendHead(append(dst, "]}}\n"...), "contest.status"),
		`{"schedule_status":"RUNNING","result_status":"LIVE"}}`+"\n"...)
	for _, p := range passings {
		h.time = start.Add(p.mark).Format(time.RFC3339Nano)
		dst = h.appendHead(dst, "result.set")
		dst = fmt.Appendf(dst, `{"category":%q,"competitor":"%d","mark":%.2f,"organisation":%q,"split":%q}}`+"\n",
			[]string{"M", "F"}[p.runner%2], p.runner+1, p.mark.Minutes(),
			[]string{"GAU", "ROM", "BRI", "HIS", "HEL"}[p.runner%5], marathonSplits[p.split].name)
	}
	return dst
}
