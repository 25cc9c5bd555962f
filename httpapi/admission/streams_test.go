package admission

import (
	"fmt"
	"net/netip"
	"testing"

	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
)

// streamPool is a gate with few places for streams, and those who hold them.
type streamPool struct {
	*Gate
	t         *testing.T
	state     *access.State
	displaced []string // the names of the streams that lost their places, in order
	staying   bool     // streams that lost their places do not leave
}

func newStreamPool(t *testing.T, places int) *streamPool {
	p := &streamPool{t: t, state: access.NewState()}
	p.Gate = New(Options{
		Limits: Limits{MaxStreams: places},
		Access: func() *access.State { return p.state },
	}).ClientGate()
	return p
}

// grant makes a grant of a bard.
func (p *streamPool) grant(id string) *access.Grant {
	g := &access.Grant{ID: id, Name: "bard/" + id, Role: access.RoleBard}
	p.state.Grants[id] = g
	return g
}

// peerAt returns a peer at the address number n.
func peerAt(n int) *fastpath.Peer {
	return &fastpath.Peer{Addr: netip.AddrFrom4([4]byte{192, 0, byte(n / 256), byte(n % 256)})}
}

// enter enters a stream that has a name. The grant is that of its token, or nil.
func (p *streamPool) enter(name string, address int, g *access.Grant) (*Stream, *score.Problem) {
	var s *Stream
	s, problem := p.EnterStream(&handler.Caller{Peer: peerAt(address), Grant: g}, func(problem *score.Problem) {
		if problem.Code != score.RateLimited {
			p.t.Errorf("%s lost its place: %v", name, problem)
		}
		if p.displaced = append(p.displaced, name); !p.staying {
			s.Leave()
		}
	})
	return s, problem
}

func (p *streamPool) mustEnter(name string, address int, g *access.Grant) *Stream {
	p.t.Helper()
	s, problem := p.enter(name, address, g)
	if problem != nil {
		p.t.Fatalf("%s: %v", name, problem)
	}
	return s
}

func (p *streamPool) wantDisplaced(want ...string) {
	p.t.Helper()
	if fmt.Sprint(p.displaced) != fmt.Sprint(want) {
		p.t.Errorf("%q lost their places; want %q", p.displaced, want)
	}
	p.displaced = nil
}

func (p *streamPool) underWay() int {
	_, _, n := p.UnderWay()
	return n
}

func TestAStrangersStreamsDoNotKeepOutABard(t *testing.T) {
	const places = 300
	p := newStreamPool(t, places)
	for i := range 2000 { // who send nothing
		p.mustEnter(fmt.Sprint("silent", i), i/10, nil)
	}
	if n := p.underWay(); n != MaxSilentStreams {
		t.Errorf("%d silent streams are under way; want %d", n, MaxSilentStreams)
	}
	p.displaced = nil
	for i := range 2000 { // who send events that they have found in a timeline
		p.mustEnter(fmt.Sprint("heard", i), i/10, nil).Heard()
	}
	if n := p.underWay(); n != places {
		t.Errorf("%d unproven streams are under way; want %d", n, places)
	}
	p.displaced = nil
	for i := range places - 1 { // bards
		g := p.grant(fmt.Sprint("token", i))
		if i%2 == 0 {
			p.mustEnter(g.ID, i, g)
			continue
		}
		s := p.mustEnter(g.ID, i, nil)
		s.Heard()
		if problem := s.Prove(&score.Event{Key: g.ID}); problem != nil {
			t.Fatalf("%s: %v", g.ID, problem)
		}
	}
	for _, name := range p.displaced {
		if name[0] == 't' {
			t.Fatalf("the bard %s lost its place", name)
		}
	}
	p.displaced = nil
	last := p.mustEnter("last", 7, p.grant("last"))
	p.wantDisplaced("heard1999")
	if _, problem := p.enter("more", 7, p.grant("more")); problem == nil || problem.Code != score.RateLimited {
		t.Errorf("one stream more than places: %v", problem)
	}
	last.Leave()
	p.mustEnter("again", 7, nil)
}

func TestTheOldestSilentStreamOfAnAddressGivesWayFirst(t *testing.T) {
	p := newStreamPool(t, MaxStreams)
	p.mustEnter("other", 1, nil)
	p.mustEnter("heard", 2, nil).Heard()
	for i := range silentPerAddress {
		p.mustEnter(fmt.Sprint("s", i), 2, nil)
	}
	p.wantDisplaced()
	p.mustEnter("more", 2, nil)
	p.mustEnter("more", 2, nil)
	p.wantDisplaced("s0", "s1")
	p.mustEnter("token", 2, p.grant("g"))
	p.wantDisplaced()
	for i := range MaxSilentStreams {
		p.mustEnter(fmt.Sprint("at", i), 10+i, nil)
	}
	if p.displaced[0] != "other" {
		t.Errorf("%q lost its place first; want the oldest of all", p.displaced[0])
	}
}

func TestAProvenStreamKeepsItsPlace(t *testing.T) {
	p := newStreamPool(t, 4)
	s := p.mustEnter("bard", 1, nil)
	s.Heard()
	if problem := s.Prove(&score.Event{}); problem != nil { // as in an open store
		t.Fatal(problem)
	}
	for i := range 20 {
		p.mustEnter(fmt.Sprint(i), 2+i, nil).Heard()
	}
	for _, name := range p.displaced {
		if name == "bard" {
			t.Error("a proven stream lost its place")
		}
	}
}

func TestTheStreamsOfOneCallerAreBounded(t *testing.T) {
	p := newStreamPool(t, MaxStreams)
	g := p.grant("g")
	signed := &score.Event{Key: "g"}
	for i := range StreamsPerCaller {
		if i%2 == 0 {
			p.mustEnter("token", i, g)
		} else if problem := p.mustEnter("key", i, nil).Prove(signed); problem != nil {
			t.Fatal(problem)
		}
	}
	if _, problem := p.enter("token", 1000, g); problem == nil {
		t.Error("there is a place for one more stream with the token")
	}
	s := p.mustEnter("key", 1000, nil)
	if problem := s.Prove(signed); problem == nil || problem.Code != score.RateLimited {
		t.Errorf("one more stream with the key: %v", problem)
	}
	if problem := s.Prove(&score.Event{Key: p.grant("another").ID}); problem != nil {
		t.Errorf("a stream of another caller: %v", problem)
	}
}

func TestStreamsThatLostTheirPlacesAndStayAreBounded(t *testing.T) {
	p := newStreamPool(t, MaxStreams)
	p.staying = true
	var all []*Stream
	refused := 0
	for i := range 1000 {
		s, problem := p.enter(fmt.Sprint(i), i, nil)
		if problem != nil {
			refused++
			continue
		}
		all = append(all, s)
	}
	if n := p.underWay(); n != 2*MaxSilentStreams || refused != 1000-n {
		t.Errorf("%d streams are under way, and %d were refused; want %d", n, refused, 2*MaxSilentStreams)
	}
	p.mustEnter("bard", 1, p.grant("g")).Leave()
	for _, s := range all {
		s.Leave()
	}
	if n := p.underWay(); n != 0 || p.streams.ending != 0 || p.streams.unproven.Len() != 0 {
		t.Errorf("after all have left %d are under way, %d ending, %d unproven", n, p.streams.ending,
			p.streams.unproven.Len())
	}
	p.mustEnter("again", 1, nil)
}

// A reader cannot post, so its token proves nothing.
func TestReadersKeepNoPlacesForStreams(t *testing.T) {
	const places = 10
	p := newStreamPool(t, places)
	reader := p.grant("reader")
	reader.Role = access.RoleReader
	for i := range places {
		s := p.mustEnter(fmt.Sprint("stream", i), i, reader)
		if !s.IsSilent() {
			t.Errorf("stream %d has all the time to begin", i)
		}
		s.Heard()
	}
	p.mustEnter("bard", places, p.grant("bard"))
	p.wantDisplaced("stream0")
}
