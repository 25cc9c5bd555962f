package ranking

import (
	"strconv"

	"laurel/score/fastjson"
	"laurel/score/mark"
)

// Leaderboard is a page of the marks at one split of a ranked contest, best first.
type Leaderboard struct {
	ContestID string `json:"contest_id"`
	Split     string `json:"split"`
	Category  string `json:"category,omitzero"` // "" for all
	Total     int    `json:"total"`             // rows of the whole leaderboard, with IRMs
	mark.Format
	Categories []string `json:"categories,omitzero"` // of all rows of the leaderboard
	Rows       []Row    `json:"rows"`
	Next       string   `json:"next"` // parameter after of the next page; "" at the end
}

// Row is one competitor in a leaderboard. A competitor with an IRM has no mark, no rank
// and no difference, and is listed last.
type Row struct {
	Competitor   string        `json:"competitor"`
	Name         string        `json:"name,omitzero"` // from the contest's definition
	Organisation string        `json:"organisation,omitzero"`
	Categories   Categories    `json:"categories,omitzero"`
	Mark         *mark.Decimal `json:"mark"`           // seconds if it is a time
	Mark2        *mark.Decimal `json:"mark2,omitzero"` // what orders equal marks
	IRM          string        `json:"irm,omitzero"`
	Out          string        `json:"out,omitzero"` // the IRM at another split, beside a mark
	Rank         int           `json:"rank,omitzero"`
	RankEqual    bool          `json:"rank_equal"` // another competitor has the same rank
	Diff         *mark.Decimal `json:"diff"`       // to the first, never negative
}

// AppendJSON appends l as json.Marshal would write it. It is faster, which matters
// because pages are rarely cached: few readers ask for the same one.
func (l *Leaderboard) AppendJSON(b []byte) []byte {
	w := fastjson.NewWriter(b)
	w.Text("contest_id", l.ContestID)
	w.Text("split", l.Split)
	w.OptionalText("category", l.Category)
	w.Uint("total", uint64(l.Total))
	l.Format.WriteMembers(&w)
	if len(l.Categories) > 0 {
		w.Array("categories", len(l.Categories), func(i int) { w.Quote(l.Categories[i]) })
	}
	w.Array("rows", len(l.Rows), func(i int) { w.B = l.Rows[i].AppendJSON(w.B) })
	w.Text("next", l.Next)
	b, _ = w.End() // bytes that are not UTF-8 have been replaced
	return b
}

// AppendJSON appends r as json.Marshal would write it.
func (r *Row) AppendJSON(b []byte) []byte {
	w := fastjson.NewWriter(b)
	w.Text("competitor", r.Competitor)
	w.OptionalText("name", r.Name)
	w.OptionalText("organisation", r.Organisation)
	r.Categories.writeTo(&w, "categories")
	w.Name("mark")
	w.B = appendOptional(w.B, r.Mark)
	if r.Mark2 != nil {
		w.Name("mark2")
		w.B = appendOptional(w.B, r.Mark2)
	}
	w.OptionalText("irm", r.IRM)
	w.OptionalText("out", r.Out)
	w.OptionalUint("rank", uint64(r.Rank))
	w.Name("rank_equal")
	w.B = strconv.AppendBool(w.B, r.RankEqual)
	w.Name("diff")
	w.B = appendOptional(w.B, r.Diff)
	b, _ = w.End()
	return b
}

func appendOptional(b []byte, d *mark.Decimal) []byte {
	if d == nil {
		return append(b, "null"...)
	}
	b, _ = d.AppendText(b)
	return b
}

// Equal reports whether both rows are the same.
func (r Row) Equal(other Row) bool {
	equal := func(a, b *mark.Decimal) bool { return a == b || a != nil && b != nil && *a == *b }
	if !equal(r.Mark, other.Mark) || !equal(r.Mark2, other.Mark2) || !equal(r.Diff, other.Diff) {
		return false
	}
	r.Mark, r.Mark2, r.Diff = other.Mark, other.Mark2, other.Diff
	return r == other
}

// Text formats the mark of r, and its difference to the first.
func (r *Row) Text(f *mark.Format) (mark, gap string) {
	if r.Mark != nil && r.Diff != nil {
		gap = f.GapText(*r.Mark, *r.Diff)
	}
	return f.ResultText(r.Mark, r.Mark2, r.IRM, r.Out), gap
}
