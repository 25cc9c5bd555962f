package main

import (
	"fmt"
	"strconv"
	"time"
)

// plays makes the events of one bard about one contest of its own: its definition, its start, and then a score.play after another.
type plays struct {
	source, contest, id, time string
	seq                       uint64    // of the event made last
	totals                    [2]uint64 // of the two competitors
	shared                    bool      // others score in the contest too: nobody knows the totals
}

// joining is the bard number n of the run, scoring in the contest that p has started.
func (p *plays) joining(run string, n int, now time.Time) *plays {
	p.shared = true
	j := newPlays(run, n, now)
	j.contest, j.shared = p.contest, true
	return j
}

// newPlays makes the bard number n of a run. Run names must be unique for as long as the data directories live.
func newPlays(run string, n int, now time.Time) *plays {
	return &plays{
		source:  fmt.Sprintf("bard/bench-%s-%04d", run, n),
		contest: fmt.Sprintf("BENCH-%s/CUR-M-GPA-%04d", run, n),
		id:      fmt.Sprintf("%s-%04d-", run, n),
		time:    now.UTC().Format(time.RFC3339),
	}
}

// appendStart appends what makes and starts the contest, as a JSON array: the events 1 and 2.
func (p *plays) appendStart(dst []byte) []byte {
	dst = append(dst, '[')
	dst = p.appendHead(dst, "contest.define")
	dst = append(dst, `{"kind":"head_to_head","sport":"stone-curling","title":"GAU vs ROM","result_type":"POINTS","competitors":[`+
		`{"code":"GAU","name":"Gaul","organisation":"GAU","type":"T"},{"code":"ROM","name":"Rome","organisation":"ROM","type":"T"}]}},`...)
	dst = p.appendHead(dst, "contest.status")
	return append(dst, `{"schedule_status":"RUNNING","result_status":"LIVE","period":"END1"}}]`...)
}

// append appends the next play: about 300 bytes, with the totals after it.
func (p *plays) append(dst []byte) []byte {
	side := p.seq & 1
	p.totals[side]++
	dst = p.appendHead(dst, "score.play")
	dst = append(dst, `{"period":"END1","action":"END","competitor":"`...)
	dst = append(dst, [...]string{"GAU", "ROM"}[side]...)
	dst = append(dst, `","delta":1,"clock":"07:41","athlete":"Assurancetourix"`...)
	if p.shared {
		return append(dst, `}}`...)
	}
	dst = append(dst, `,"result":{"GAU":`...)
	dst = strconv.AppendUint(dst, p.totals[0], 10)
	dst = append(dst, `,"ROM":`...)
	dst = strconv.AppendUint(dst, p.totals[1], 10)
	return append(dst, `}}}`...)
}

func (p *plays) appendHead(dst []byte, kind string) []byte {
	p.seq++
	dst = append(dst, `{"id":"`...)
	dst = append(dst, p.id...)
	dst = strconv.AppendUint(dst, p.seq, 10)
	dst = append(dst, `","source":"`...)
	dst = append(dst, p.source...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, p.seq, 10)
	dst = append(dst, `,"type":"`...)
	dst = append(dst, kind...)
	dst = append(dst, `","time":"`...)
	dst = append(dst, p.time...)
	dst = append(dst, `","contest_id":"`...)
	dst = append(dst, p.contest...)
	return append(dst, `","data":`...)
}
