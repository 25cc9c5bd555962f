package score

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/go-json-experiment/json"

	"laurel/score/fastjson"
	"laurel/score/mark"
)

// Record is a contest as readers see it. Order, ranks and winner are derived from the
// Contest.
type Record struct {
	ContestID   string `json:"contest_id"`
	Competition string `json:"competition"`
	Sport       string `json:"sport"`
	Kind        string `json:"kind"`
	Title       string `json:"title"`
	Discipline  string `json:"discipline,omitzero"`
	Event       string `json:"event,omitzero"`
	Phase       string `json:"phase,omitzero"`
	Group       string `json:"group,omitzero"`
	Gender      string `json:"gender,omitzero"`
	Venue       string `json:"venue,omitzero"`
	MedalEvent  int    `json:"medal_event,omitzero"`
	mark.Format
	// EventUnit and EventUnit2 are the units of marks in events, if they are not those of
	// the record.
	EventUnit      string    `json:"event_unit,omitzero"`
	EventUnit2     string    `json:"event_unit2,omitzero"`
	ScheduleStatus string    `json:"schedule_status"`
	ResultStatus   string    `json:"result_status"`
	Started        bool      `json:"started,omitzero"` // it has been RUNNING
	Period         string    `json:"period"`
	Periods        []string  `json:"periods,omitzero"` // if head_to_head: in the order in which they began
	Clock          string    `json:"clock"`
	StartTime      time.Time `json:"start_time,omitzero"`
	Split          string    `json:"split,omitzero"` // if ranked: where competitors are ranked
	// TiebreakPeriods are the tie-break periods that have begun. They are not among Periods.
	TiebreakPeriods []string   `json:"tiebreak_periods,omitzero"`
	Competitors     []Standing `json:"competitors"`
	Total           *int       `json:"total,omitzero"` // if ranked: with a mark there, or listed
	Winner          string     `json:"winner"`
	Decision        string     `json:"decision,omitzero"` // how it was won, or why nobody has won
	// Corrected means that another definition, after plays or marks, has changed the result.
	Corrected bool      `json:"corrected,omitzero"`
	Revision  uint64    `json:"revision"`
	UpdatedAt time.Time `json:"updated_at"`
}

var recordLayout = newLayout(reflect.TypeFor[Record](), 0, "")

// AppendJSON appends the JSON of r, which is that of the general JSON code.
func (r *Record) AppendJSON(b []byte) ([]byte, error) {
	w := fastjson.NewWriter(b)
	recordLayout.write(&w, unsafe.Pointer(r), nil, false)
	if written, err := w.End(); err == nil {
		return written, nil
	}
	whole, err := json.Marshal(r)
	return append(b, whole...), err
}

// Standing is one competitor in a Record. Rank is 0 without a result. Periods, Adjustment
// and Stats are for head_to_head contests.
type Standing struct {
	Code         string `json:"code"`
	Name         string `json:"name"`
	Organisation string `json:"organisation"`
	// Order is the place among the sides of a head_to_head contest, or that of the start
	// list of a ranked one.
	Order      int           `json:"order,omitzero"`
	Result     *mark.Decimal `json:"result"` // null in a ranked contest without a mark
	Mark2      *mark.Decimal `json:"mark2,omitzero"`
	IRM        string        `json:"irm,omitzero"`
	Out        string        `json:"out,omitzero"`        // the IRM at another split, beside a result
	Periods    Totals        `json:"periods"`             // the points in each of the contest's Periods
	Adjustment mark.Decimal  `json:"adjustment,omitzero"` // the points of Result that are in none of them
	Tiebreak   mark.Decimal  `json:"tiebreak"`
	Stats      Totals        `json:"stats"`
	Rank       int           `json:"rank,omitzero"`
	SortOrder  int           `json:"sort_order"`
}

// MaxSides is the greatest number of competitors that are shown as sides.
const MaxSides = 4

// Sides returns the competitors as they are shown: up to MaxSides of a head_to_head
// contest in the order of sides, so that they do not change places with the lead, and
// otherwise the best first.
func (r *Record) Sides() []Standing {
	if r.Kind == Ranked || len(r.Competitors) > MaxSides {
		return r.Competitors
	}
	return slices.SortedStableFunc(slices.Values(r.Competitors), func(a, b Standing) int {
		return cmp.Compare(a.Order, b.Order)
	})
}

// SharesRank reports whether another competitor of the record has the rank of s.
func (r *Record) SharesRank(s *Standing) bool {
	return s.Rank != 0 && slices.ContainsFunc(r.Competitors, func(o Standing) bool {
		return o.Code != s.Code && o.Rank == s.Rank
	})
}

// HasBegun reports whether the contest has results to show, also while it is stopped.
func (r *Record) HasBegun() bool {
	section := SectionOf(r.ScheduleStatus)
	return r.Started || section == SectionLive || section == SectionFinished
}

// ResultOf returns the result of a competitor for people; "" if it has none. A
// head_to_head contest that has not begun has no results: nobody has 0 points in it yet.
func (r *Record) ResultOf(s *Standing) string {
	if r.Kind == HeadToHead && !r.HasBegun() {
		return ""
	}
	return r.ResultText(s.Result, s.Mark2, s.IRM, s.Out)
}

// Summary returns the results in a few words, such as "GAU 2 (4), ROM 2 (3)": those of
// the sides, or of the first three of more competitors, with the number of all that a ranked
// contest has.
func (r *Record) Summary() string {
	const leaders = 3
	sides := r.Sides()
	if r.Kind == Ranked || len(sides) > MaxSides {
		sides = sides[:min(len(sides), leaders)]
	}
	var parts []string
	for i := range sides {
		s := &sides[i]
		result := r.ResultOf(s)
		if r.Kind == Ranked && result == "" {
			break
		}
		words := []string{s.Code, result, r.TiebreakText(s)}
		parts = append(parts, strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " "))
	}
	if r.Total != nil && len(parts) > 0 && len(parts) < *r.Total {
		parts = append(parts, "of "+strconv.Itoa(*r.Total))
	}
	return strings.Join(parts, ", ")
}

// TiebreakText returns the tie-break score of a competitor in brackets; "" before a
// tie-break period has begun.
func (r *Record) TiebreakText(s *Standing) string {
	if len(r.TiebreakPeriods) == 0 {
		return ""
	}
	return "(" + s.Tiebreak.String() + ")"
}

// Filter selects contests for a list. Empty fields select all.
type Filter struct {
	Competition string
	Sport       string
	Status      string // a schedule_status or a result_status
	Competitor  string // code or organisation of a competitor
	// Section selects the contests of a section, and has the list in its order. It goes
	// with Competition and Find only.
	Section Section
	Find    string // words, each of which a contest must have
}
