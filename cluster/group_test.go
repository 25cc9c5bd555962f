package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/fsm/view"
	"laurel/score"
	"laurel/trust/pki"
)

// patient bounds the wait for what must happen. A busy machine may need much of it.
const patient = 60 * time.Second

// testScale stretches the timings of the members, so that a busy machine does not look like a lost master.
const testScale = 3

// steadyTimeout is longer than a busy machine stops a process for.
const steadyTimeout = patient / 3

// unhurried makes a node wait long for the first bytes of a connection, which it would close
// on a machine that stops the process meanwhile.
func unhurried(o *Options) { o.hooks.handshakeTimeout = patient }

// steady makes a node wait long for the master, and the master for the others: the founder of a
// group keeps its office on a machine that stops the process. It is for tests in which no other
// one is to be elected.
func steady(o *Options) {
	unhurried(o)
	o.hooks.raftConfig = func(c *raft.Config) {
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = steadyTimeout, steadyTimeout, steadyTimeout
	}
}

// eventually waits until f returns nil. If it does not, its last error fails the test. When the
// test has ended, it ends the goroutine, so it must not be called by a Cleanup.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	deadline := time.NewTimer(patient)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if t.Context().Err() != nil {
			// The test has failed and does not wait for this goroutine. A later error of it would
			// end the process.
			runtime.Goexit()
		}
		err := f()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: %v", what, err)
		case <-t.Context().Done():
		case <-tick.C:
		}
	}
}

// node is a frontend without package httpapi: a member, and the HTTP routes that members need of each other.
type node struct {
	t             *testing.T
	opts          Options
	server        *httptest.Server
	registry      *prometheus.Registry // of the member that was started last
	current       atomic.Pointer[Member]
	enroll        func() *pki.Identity // gets its first certificate; nil if it has one or needs none
	falseReporter *falseReporter       // answers the other members in the node's place, if it is set before the start
	// shown is the identity of the member that was started last. The server shows it, while a
	// test may give the node another one.
	shown atomic.Pointer[pki.Identity]
	// changeStatus, if it is set before the start, changes what the node reports to the others.
	// from is the asking member.
	changeStatus func(s *status.Status, from raft.ServerID)
}

func newNode(t *testing.T, id string, change ...func(*Options)) *node {
	t.Helper()
	n := &node{t: t}
	n.server = httptest.NewServer(n.handler(true))
	n.opts = Options{
		ID: id, Dir: filepath.Join(t.TempDir(), id), Peer: loopback(), URL: n.server.URL,
		TimeScale: testScale, Logger: testLog(t),
	}
	for _, f := range change {
		f(&n.opts)
	}
	t.Cleanup(func() {
		n.stop()
		n.server.Close()
	})
	return n
}

// testLog returns a logger whose output is shown if the test fails.
func testLog(t *testing.T) *slog.Logger {
	var log lockedBuffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.tail(20_000))
		}
	})
	return slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.b.Bytes()
	return string(b[max(0, len(b)-n):])
}

// start starts the node's member, at the address that it had before.
func (n *node) start() *Member {
	n.t.Helper()
	if n.enroll != nil {
		n.opts.Identity, n.enroll = n.enroll(), nil
	}
	n.shown.Store(n.opts.Identity)
	var m *Member
	eventually(n.t, "start "+n.opts.ID, func() (err error) {
		n.registry = prometheus.NewRegistry()
		n.opts.Metrics = n.registry
		m, err = Start(n.opts)
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			n.t.Fatal(err)
		}
		return err
	})
	n.opts.Peer = m.Peer()
	switch {
	case n.changeStatus != nil:
		m.port.HandleHTTP(n.reportChanged(m, m.peerHandler(n.handler(false))), m.log)
	case n.falseReporter != nil:
		m.port.HandleHTTP(n.falseReporter.over(m, m.peerHandler(n.handler(false))), m.log)
	default:
		m.ServeForwarded(n.handler(false), nil)
	}
	n.current.Store(m)
	if n.opts.Bootstrap && m.raft.ReloadableConfig().HeartbeatTimeout == steadyTimeout {
		// It would wait as long before it elects itself.
		now := raft.RPC{Command: &raft.TimeoutNowRequest{RPCHeader: m.transport.Header}}
		if _, err := m.transport.Call(now); err != nil {
			n.t.Fatal(err)
		}
	}
	return m
}

// reportChanged returns a handler that answers requests for the status with the changed one.
func (n *node) reportChanged(m *Member, honest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != status.Path {
			honest.ServeHTTP(w, r)
			return
		}
		from := raft.ServerID(r.FormValue("from"))
		s := m.source.Status(from)
		n.changeStatus(&s, from)
		json.MarshalWrite(w, s)
	})
}

// stop closes the member without a transfer of leadership.
func (n *node) stop() {
	n.t.Helper()
	if m := n.current.Swap(nil); m != nil {
		if err := m.Close(); err != nil {
			n.t.Errorf("close %s: %v", m.ID(), err)
		}
	}
}

// again returns the options for another start, which is expected to fail.
func (n *node) again() Options {
	o := n.opts
	o.Metrics = prometheus.NewRegistry()
	return o
}

func (n *node) member() *Member { return n.current.Load() }

// handler serves the routes of httpapi that members call, and one read.
func (n *node) handler(forwards bool) http.Handler {
	mux := http.NewServeMux()
	at := func(pattern string, h func(*Member, http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			err := error(peer.NoMaster())
			if m := n.member(); m != nil {
				if forwards && !m.Master() {
					err = m.Forward(w, r, "")
				} else {
					err = h(m, w, r)
				}
			}
			var p *score.Problem
			switch {
			case errors.As(err, &p):
				w.WriteHeader(p.Status)
				json.MarshalWrite(w, p)
			case err != nil:
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	at("POST /v1/cluster/members", func(m *Member, _ http.ResponseWriter, r *http.Request) error {
		var asked score.NewMember
		if r.Header.Get("Content-Type") != "application/json" {
			return score.Problemf(score.InvalidEvent,
				"the Content-Type is %q, which httpapi refuses", r.Header.Get("Content-Type"))
		}
		if err := json.UnmarshalRead(r.Body, &asked); err != nil {
			return err
		}
		return m.Join(r.Context(), asked, false)
	})
	at("DELETE /v1/cluster/members/{id}", func(m *Member, _ http.ResponseWriter, r *http.Request) error {
		return m.Leave(r.Context(), r.PathValue("id"), r.FormValue("force") == "true")
	})
	mux.HandleFunc("GET /v1/frontends", func(w http.ResponseWriter, _ *http.Request) {
		if m := n.member(); m != nil {
			json.MarshalWrite(w, m.Frontends())
		}
	})
	at("GET /v1/scores", func(m *Member, w http.ResponseWriter, r *http.Request) error {
		revision, err := read(r.Context(), m)
		w.Header().Set("Laurel-Frontend", m.ID())
		if err != nil {
			return err
		}
		return json.MarshalWrite(w, revision)
	})
	return mux
}

// read returns the revision of a member, linearizably. A member that may not answer returns the problem that
// httpapi's port for members would.
func read(ctx context.Context, m *Member) (revision uint64, err error) {
	e, _, err := m.Answer(ctx, "revision", cache.AnyTag, func(v queries.View) ([]byte, uint64, error) {
		return fmt.Append(nil, v.Revision()), v.Revision(), nil
	})
	if errors.Is(err, cache.ErrNotLeased) {
		err = peer.NotMaster()
	}
	if err != nil {
		return 0, err
	}
	return e.Revision, nil
}

// group is a group of nodes, f1 the first.
type group struct {
	t     *testing.T
	nodes []*node
}

// newGroup forms a group of size voters.
func newGroup(t *testing.T, size int, change ...func(*Options)) *group {
	t.Helper()
	g := &group{t: t}
	for range size {
		g.add(change...)
	}
	for _, n := range g.nodes {
		n.start()
	}
	g.settle()
	return g
}

// add makes the next node without starting it.
func (g *group) add(change ...func(*Options)) *node {
	g.t.Helper()
	n := newNode(g.t, fmt.Sprintf("f%d", len(g.nodes)+1), change...)
	if len(g.nodes) == 0 {
		n.opts.Bootstrap = true
	} else {
		n.opts.Join = []string{g.nodes[0].server.URL}
	}
	g.nodes = append(g.nodes, n)
	return n
}

// running returns the nodes that run.
func (g *group) running() (list []*node) {
	for _, n := range g.nodes {
		if n.member() != nil {
			list = append(list, n)
		}
	}
	return list
}

// settle waits until one of the running nodes is master, and all know each other with the suffrage of their options.
func (g *group) settle() {
	g.t.Helper()
	for _, n := range g.running() {
		eventually(g.t, n.opts.ID+" knows its group", func() error {
			f := n.member().Frontends()
			if f.Master == "" || n.member().Ready(context.Background()) != nil {
				return fmt.Errorf("no master: %+v", f)
			}
			for _, want := range g.running() {
				if err := contains(f, want.member()); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func contains(f score.Frontends, m *Member) error {
	for _, e := range f.Frontends {
		if e.ID == m.ID() && e.Peer == m.Peer() && (e.Voter || m.opts.Nonvoter) {
			return nil
		}
	}
	return fmt.Errorf("%s is not there: %+v", m.ID(), f.Frontends)
}

// master waits for a master and returns its node.
func (g *group) master() (master *node) {
	g.t.Helper()
	eventually(g.t, "there is a master", func() error {
		for _, n := range g.running() {
			if n.member().Master() {
				master = n
				return nil
			}
		}
		return errors.New("there is none")
	})
	return master
}

// masterLost reports whether an error says that there was no master, or that it was lost
// meanwhile, as may happen on a busy machine. A client asks again then, and so does a test.
func masterLost(err error) bool {
	code := score.CodeOf(err)
	return code == score.NoMaster || code == score.OutcomeUnknown
}

// askMaster calls f with the master, again with the next one if it was lost meanwhile, and
// fails the test with any other error.
func (g *group) askMaster(what string, f func(*Member) error) {
	g.t.Helper()
	eventually(g.t, what, func() error {
		err := f(g.master().member())
		if err != nil && !masterLost(err) {
			g.t.Fatalf("%s: %v", what, err)
		}
		return err
	})
}

// refusedByMaster calls f with the master, and checks that the error is a problem with a code. It
// calls f again if the master was lost, or if those that it had to ask did not answer in time.
func (g *group) refusedByMaster(code score.Code, f func(*Member) error) (p *score.Problem) {
	g.t.Helper()
	eventually(g.t, "the master answers", func() error {
		err := f(g.master().member())
		if got := score.CodeOf(err); got != code && (masterLost(err) || got == score.NotReady) {
			return err
		}
		p = refused(g.t, err, code)
		return nil
	})
	return p
}

// makeMaster transfers the leadership until a node has it.
func (g *group) makeMaster(to *node) {
	g.t.Helper()
	eventually(g.t, to.opts.ID+" is the master", func() error {
		if to.member().Master() {
			return nil
		}
		return errors.Join(errors.New("it is not"), g.master().member().Transfer(g.t.Context(), to.opts.ID))
	})
}

// remove has the master remove a member, again if the master was lost meanwhile, or if a voter did
// not answer in time, without which no member leaves.
func (g *group) remove(id string, force bool) {
	g.t.Helper()
	unknown := false
	eventually(g.t, id+" is removed", func() error {
		err := g.master().member().Leave(g.t.Context(), id, force)
		if unknown && score.CodeOf(err) == score.NotFound {
			return nil // the attempt of unknown outcome has removed it
		}
		unknown = unknown || score.CodeOf(err) == score.OutcomeUnknown
		return err
	})
}

// appendEntry appends an entry to the log of the master, as only a corrupt one can, and returns
// its response.
func (g *group) appendEntry(data []byte) (response any) {
	g.t.Helper()
	eventually(g.t, "the entry is appended", func() error {
		applied := g.master().member().raft.Apply(data, patient)
		err := applied.Error()
		response = applied.Response()
		return err
	})
	return response
}

// others returns the running nodes except one.
func (g *group) others(not *node) (list []*node) {
	for _, n := range g.running() {
		if n != not {
			list = append(list, n)
		}
	}
	return list
}

// agree waits until all running nodes have the revision in their databases.
func (g *group) agree(revision uint64) {
	g.t.Helper()
	for _, n := range g.running() {
		eventually(g.t, fmt.Sprintf("%s has revision %d", n.opts.ID, revision), func() error {
			if has := n.member().machine.Revision(); has != revision {
				return fmt.Errorf("it has %d", has)
			}
			return nil
		})
	}
}

// alerts returns a post of count events of a source, with the seqs from first on.
func alerts(source string, first uint64, count int) score.Post {
	p := score.Post{Mode: score.UntilRefused}
	for i := range uint64(count) {
		p.Events = append(p.Events, score.Event{
			ID: fmt.Sprintf("%s-%d", source, first+i), IDGiven: true, Source: source, Seq: first + i,
			Type: score.TypeAlert, Time: time.Now(), ContestID: "OG50BC/rain", Data: &score.Alert{Text: "rain"},
		})
	}
	return p
}

// mustPost posts as a bard does: it repeats the post with the same identities until the outcome is known.
func mustPost(t testing.TB, n *node, p score.Post) (results []score.Result) {
	t.Helper()
	eventually(t, "post", func() (err error) {
		m := n.member()
		if m == nil {
			return errors.New("the node is down")
		}
		results, err = m.Post(context.Background(), p)
		var problem *score.Problem
		if err != nil && (!errors.As(err, &problem) || problem.Status < 429) {
			t.Errorf("post: %v", err)
			return nil
		}
		return err
	})
	for _, r := range results {
		if r.Problem != nil {
			t.Errorf("event %s was refused: %v", r.ID, r.Problem)
		}
	}
	return results
}

// refused checks that err is a problem with a code, and returns it.
func refused(t testing.TB, err error, code score.Code) *score.Problem {
	t.Helper()
	var p *score.Problem
	if !errors.As(err, &p) || p.Code != code {
		t.Fatalf("got %v; want a problem %s", err, code)
	}
	return p
}

// timeline counts, for each id, the events in the timeline of the contest that alerts are about.
func timeline(t testing.TB, m *Member) map[string]int {
	t.Helper()
	count := map[string]int{}
	err := m.machine.View(func(v *view.View) error {
		after, more := uint64(0), true
		for more {
			list, next, err := v.Timeline("OG50BC/rain", after, 1000)
			if err != nil {
				return err
			}
			for _, e := range list {
				count[e.ID]++
			}
			after, more = next, next != 0
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// entries returns the index of the last entry in the log of a member.
func entries(m *Member) uint64 { return m.raft.LastIndex() }

func voters(m *Member) (ids []string) {
	for _, s := range m.servers() {
		if s.Suffrage == raft.Voter {
			ids = append(ids, peer.MemberID(s.ID))
		}
	}
	return ids
}

// metric returns the counter of the node's member with one label.
func metric(t testing.TB, n *node, name, label string) float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if labels := m.GetLabel(); f.GetName() == name && len(labels) == 1 && labels[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no metric %s for %s", name, label)
	return 0
}
