package load

import (
	"crypto/rand"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// NewRun returns a name that no other cell has, so that no two share a source or a
// contest.
func NewRun() string { return strings.ToLower(rand.Text()[:6]) }

// header is the part of a bard's events besides their type and data.
type header struct {
	source, contest, id, time string
	seq                       uint64 // of the event made last
}

func newHeader(run string, n int, contest string, now time.Time) header {
	return header{
		source:  fmt.Sprintf("bard/bench-%s-%04d", run, n),
		contest: contest,
		id:      fmt.Sprintf("%s-%04d-", run, n),
		time:    now.UTC().Format(time.RFC3339),
	}
}

// Source returns the bard's source, and Seq the seq of the event made last.
func (h *header) Source() string { return h.source }
func (h *header) Seq() uint64    { return h.seq }

// appendHead appends the next event of a type up to its data.
func (h *header) appendHead(dst []byte, kind string) []byte {
	h.seq++
	dst = append(append(dst, `{"id":"`...), h.id...)
	dst = strconv.AppendUint(dst, h.seq, 10)
	dst = append(append(dst, `","source":"`...), h.source...)
	dst = strconv.AppendUint(append(dst, `","seq":`...), h.seq, 10)
	dst = append(append(dst, `,"type":"`...), kind...)
	dst = append(append(dst, `","time":"`...), h.time...)
	dst = append(append(dst, `","contest_id":"`...), h.contest...)
	return append(dst, `","data":`...)
}

// Plays makes the events of one bard about one contest: its definition, its start, and
// then one score.play after another.
type Plays struct {
	header
	totals [2]uint64 // of the two competitors
	shared bool      // other bards score in the contest, so the totals are not known
}

// NewPlays returns the plays of the bard number n of a run, about a contest of its own.
func NewPlays(run string, n int) *Plays {
	contest := fmt.Sprintf("BENCH-%s/CUR-M-GPA-%04d", run, n)
	return &Plays{header: newHeader(run, n, contest, time.Now())}
}

// Join returns the plays of another bard in the contest that p has started.
func (p *Plays) Join(run string, n int) *Plays {
	p.shared = true
	return &Plays{header: newHeader(run, n, p.contest, time.Now()), shared: true}
}

// Contest returns the id of the contest.
func (p *Plays) Contest() string { return p.contest }

// appendStart appends the events that define and start the contest, as a JSON array.
func (p *Plays) appendStart(dst []byte) []byte {
	dst = p.appendHead(append(dst, '['), "contest.define")
	dst = append(dst, `{"kind":"head_to_head","sport":"stone-curling","title":"GAU vs ROM","result_type":"POINTS",`+
		`"competitors":[{"code":"GAU","name":"Gaul","organisation":"GAU","type":"T"},`+
		`{"code":"ROM","name":"Rome","organisation":"ROM","type":"T"}]}},`...)
	dst = p.appendHead(dst, "contest.status")
	return append(dst, `{"schedule_status":"RUNNING","result_status":"LIVE","period":"END1"}}]`...)
}

// competitors are the two codes of the contest, in the order in which they score.
var competitors = [...]string{"GAU", "ROM"}

// score gives the next point and returns who gets it.
func (p *Plays) score() (competitor string) {
	side := p.seq & 1
	p.totals[side]++
	return competitors[side]
}

// Append appends the next play: about 300 bytes, with the totals after it.
func (p *Plays) Append(dst []byte) []byte {
	competitor := p.score()
	dst = p.appendHead(dst, "score.play")
	dst = append(append(dst, `{"period":"END1","action":"END","competitor":"`...), competitor...)
	dst = append(dst, `","delta":1,"clock":"07:41","athlete":"Assurancetourix"`...)
	if p.shared {
		return append(dst, `}}`...)
	}
	dst = strconv.AppendUint(append(dst, `,"result":{"GAU":`...), p.totals[0], 10)
	dst = strconv.AppendUint(append(dst, `,"ROM":`...), p.totals[1], 10)
	return append(dst, `}}}`...)
}

// Until returns a source of plays for a Stream that ends at a time.
func (p *Plays) Until(end time.Time) func([]byte) ([]byte, error) {
	n := 0
	return func(dst []byte) ([]byte, error) {
		if n++; n%64 == 0 && time.Now().After(end) {
			return dst, io.EOF
		}
		return p.Append(dst), nil
	}
}

// BoardSplit is the one split at which players get marks.
const BoardSplit = "finish"

// maxMark makes each mark about unique among a million players.
const maxMark = 1_000_000

// Player returns the code of a player. redis-benchmark makes such names.
func Player(n int) string { return fmt.Sprintf("c%012d", n) }

// Marks makes the events of one bard that gives marks to the players of one tournament.
type Marks struct {
	header
	players int
	random  *mathrand.Rand
}

// NewMarks returns the marks of the bard number n of a run.
func NewMarks(run string, n, players int, contest string) *Marks {
	return &Marks{
		header:  newHeader(run, n, contest, time.Now()),
		players: players,
		random:  mathrand.New(mathrand.NewPCG(uint64(n), uint64(players))),
	}
}

// appendStart appends the events that define and start the contest, as a JSON array.
func (m *Marks) appendStart(dst []byte) []byte {
	dst = append(m.appendHead(append(dst, '['), "contest.define"),
		`{"kind":"ranked","sport":"e-sport","title":"Open qualifier","result_type":"POINTS","sort":"desc"}},`...)
	return append(m.appendHead(dst, "contest.status"), `{"schedule_status":"RUNNING","result_status":"LIVE"}}]`...)
}

// appendMark appends a random mark for a player.
func (m *Marks) appendMark(dst []byte, player int) []byte {
	dst = append(append(m.appendHead(dst, "result.set"), `{"competitor":"`...), Player(player)...)
	dst = append(dst, `","split":"`+BoardSplit+`","mark":`...)
	return append(strconv.AppendInt(dst, int64(m.random.IntN(maxMark)), 10), "}}"...)
}

// Append appends a mark for a random player.
func (m *Marks) Append(dst []byte) []byte { return m.appendMark(dst, m.random.IntN(m.players)) }

// EveryPlayer returns a source for a Stream that gives each player one mark, in random
// order.
func (m *Marks) EveryPlayer() func([]byte) ([]byte, error) {
	order, next := m.random.Perm(m.players), 0
	return func(dst []byte) ([]byte, error) {
		if next == len(order) {
			return dst, io.EOF
		}
		next++
		return m.appendMark(dst, order[next-1]), nil
	}
}
